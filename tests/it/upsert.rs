pub fn tests() -> Vec<crate::LoadTest> {
    Vec::new()
}
