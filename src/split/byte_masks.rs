//! The comparison of 64 bytes with one, which yields one bit each. Nothing else in the splitter
//! depends on the processor.

#![allow(clippy::inline_always, reason = "must become part of the loop that is compiled for AVX2")]

/// A block of bytes. Bit 0 of its mask stands for its first byte.
pub(crate) type MaskBlock = [u8; 64];

/// Returns true if [`equal_avx2`] may be called, and the bits of masks have their instructions, as
/// on every processor with AVX2. After the first call, the check costs a few loads and branches.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt")
}

/// Compares 32 bytes at a time.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn equal_avx2(block: &MaskBlock, byte: u8) -> u64 {
    use std::arch::x86_64::_mm256_cmpeq_epi8;
    use std::arch::x86_64::_mm256_movemask_epi8;
    use std::arch::x86_64::_mm256_set_epi64x;
    use std::arch::x86_64::_mm256_set1_epi8;
    let (words, _) = block.as_chunks::<8>();
    let pattern = _mm256_set1_epi8(byte.cast_signed());
    let half = |at: usize| {
        // These four loads become one in the machine code.
        let word = |index: usize| i64::from_le_bytes(words[at + index]);
        let lane = _mm256_set_epi64x(word(3), word(2), word(1), word(0));
        u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(lane, pattern)).cast_unsigned())
    };
    half(4) << 32 | half(0)
}

/// Compares eight bytes at a time in a general register, on every other processor.
#[inline(always)]
pub(crate) fn equal_portable(block: &MaskBlock, byte: u8) -> u64 {
    const LOW_BITS: u64 = 0x7F7F_7F7F_7F7F_7F7F;
    let (words, _) = block.as_chunks::<8>();
    words.iter().rev().fold(0, |mask, word| {
        let difference = u64::from_le_bytes(*word) ^ u64::from_le_bytes([byte; 8]);
        // Sets the top bit of each byte without a difference. No carry crosses a byte.
        let equal = !(((difference & LOW_BITS) + LOW_BITS) | difference | LOW_BITS);
        // Collects the eight top bits in the highest byte.
        mask << 8 | (equal >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[cfg(target_arch = "x86_64")]
    #[allow(
        unsafe_code,
        reason = "the only way to call code for a processor that is detected at run time"
    )]
    fn equal_fast(block: &MaskBlock, byte: u8) -> u64 {
        // SAFETY: the processor has AVX2.
        if has_avx2() { unsafe { equal_avx2(block, byte) } } else { equal_portable(block, byte) }
    }

    #[cfg(not(target_arch = "x86_64"))]
    use equal_portable as equal_fast;

    proptest! {
        #[test]
        fn both_ways_of_comparing_find_exactly_the_equal_bytes(
            few in proptest::array::uniform32(0_u8..4),
            any in proptest::array::uniform32(any::<u8>()),
            byte in 0_u8..4,
        ) {
            let mixed = |at: usize| if at.is_multiple_of(2) { few[at / 2] } else { any[at / 2] };
            let block: MaskBlock = std::array::from_fn(mixed);
            let expected = (0..64)
                .filter(|&at| block[at] == byte)
                .fold(0, |mask: u64, at| mask | 1 << at);
            prop_assert_eq!(equal_portable(&block, byte), expected);
            prop_assert_eq!(equal_fast(&block, byte), expected);
        }
    }
}
