crate::load_tests![];
