use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// The text of the samples.
fn rows() -> Vec<u8> {
    let rows = (0..60).map(|row| format!("{row},name {},{}\n", row % 7, row * row));
    rows.collect::<Vec<_>>().concat().into()
}

/// A packed file that another program wrote.
struct Sample {
    name: &'static str,
    codecs: &'static str,
    packed: Vec<u8>,
}

fn samples() -> Vec<Sample> {
    let lines = include_str!("tests/samples.txt").lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &'static str| {
        let [name, codecs, packed] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        Sample { name, codecs, packed: STANDARD.decode(packed).unwrap() }
    };
    lines.map(sample).collect()
}

/// The text, the codecs, and what went wrong.
type Unpacked = (Vec<u8>, Option<Codecs>, Option<Fault>);

/// Unpacks an object that arrives in pieces of `step` bytes, with all the memory that it needs.
fn unpack(object: &[u8], step: usize) -> Unpacked {
    let head = &object[..object.len().min(HEAD_BYTES)];
    let Some(codec) = Codec::of(head, head.len() == object.len()) else {
        return (object.to_vec(), None, None);
    };
    let mut unpacker = Unpacker::new(codec);
    let mut text = Vec::new();
    for piece in object.chunks(step).map(Some).chain([None]) {
        let mut rest = piece.unwrap_or_default();
        loop {
            let block = match piece {
                Some(_) => unpacker.next(&mut rest),
                None => unpacker.finish(),
            };
            match block {
                Ok([]) => break,
                Ok(block) => {
                    assert!(block.len() <= BLOCK_BYTES);
                    text.extend_from_slice(block);
                }
                Err(Fault { trouble: Trouble::NeedsMemory(bytes), .. })
                    if bytes <= MAX_MEMORY_BYTES =>
                {
                    unpacker.allow(bytes);
                }
                Err(fault) => return (text, Some(unpacker.codecs()), Some(fault)),
            }
        }
        assert!(rest.is_empty());
    }
    (text, Some(unpacker.codecs()), None)
}

#[test]
fn files_of_other_programs_are_unpacked_however_they_arrive() {
    for Sample { name, codecs, packed } in samples() {
        for step in [1, 2, 3, 7, 100, packed.len()] {
            let (text, known, fault) = unpack(&packed, step);
            assert_eq!(fault.map(|fault| fault.to_string()), None, "{name} in steps of {step}");
            assert_eq!(known.map(|known| known.to_string()).as_deref(), Some(codecs), "{name}");
            assert!(text == rows(), "{name} in steps of {step}");
        }
    }
}

/// Snappy's formats have no end: what is cut between two chunks is whole. The others do not take a
/// part of a file for a file, except that gzip's padding, and whole members, may be missing.
#[test]
fn a_cut_file_is_refused() {
    for Sample { name, codecs, packed } in samples() {
        for length in 0..packed.len() {
            let (text, known, fault) = unpack(&packed[..length], 64);
            let is_member = text.is_empty() || text.ends_with(b"\n") && rows().starts_with(&text);
            let may_end = match codecs {
                "snappy" | "hadoop-snappy" => text.len() == 400 || text.is_empty(),
                _ => {
                    let has_members = ["members", "frames", "streams", "bgzip", "row", "pzstd"]
                        .iter()
                        .any(|word| name.contains(word));
                    has_members && is_member
                }
            };
            // Nothing tells a few first bytes from text, which they are hardly.
            let is_short = known.is_none() && length < HEAD_BYTES;
            assert!(fault.is_some() || may_end || is_short, "{name} cut at {length}");
        }
    }
}

#[test]
fn a_file_with_a_flipped_bit_is_refused_or_gives_its_rows() {
    for Sample { name, packed, .. } in samples() {
        for (at, bit) in (0..packed.len()).map(|at| (at, at % 8)) {
            let mut flipped = packed.clone();
            flipped[at] ^= 1 << bit;
            let (text, known, fault) = unpack(&flipped, flipped.len());
            // These have no checksum, or the second of their frames has none. The store's remains.
            let has_checksum = !["zstd_no_check", "lz4_frames", "hadoop_snappy"].contains(&name);
            let is_refused = fault.is_some() || known.is_none();
            assert!(is_refused || text == rows() || !has_checksum, "{name}: bit {bit} of {at}");
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused_with_their_place() {
    for Sample { name, codecs, packed } in samples() {
        let longer = [&packed[..], b"x,y\n"].concat();
        let (text, _, fault) = unpack(&longer, 50);
        assert!(text == rows(), "{name}");
        let offset = fault.as_ref().map(|fault| fault.offset);
        match codecs {
            // These have taken the beginning of a chunk that never ends.
            "snappy" | "hadoop-snappy" => assert!(fault.is_some(), "{name}"),
            // The library does not tell how many of the bytes of its last call it took.
            "xz" => assert!(fault.is_some(), "{name}"),
            _ => assert!(
                offset.is_some_and(|offset| offset.abs_diff(packed.len() as u64) <= 4),
                "{name}: {fault:?}"
            ),
        }
    }
}

/// One to three bytes after the end are too few for a header, and yet no part of one.
#[test]
fn a_few_bytes_after_the_end_are_said_to_follow_it() {
    let is_marked = |codecs: &str| matches!(codecs, "gzip" | "bzip2" | "zstd" | "lz4" | "snappy");
    for Sample { name, codecs, packed } in samples().into_iter().filter(|it| is_marked(it.codecs)) {
        for rest in [&b"\n"[..], b"a\n", b"rows", b"some rows\n"] {
            let (text, _, fault) = unpack(&[&packed[..], rest].concat(), 50);
            assert!(text == rows(), "{name}");
            let Some(Trouble::Damaged(how)) = fault.map(|fault| fault.trouble) else {
                panic!("{name}: {rest:?}");
            };
            assert!(how.starts_with("is followed by"), "{name} ({codecs}): {rest:?}: {how}");
        }
    }
}

#[test]
fn a_fault_names_the_codec_and_the_place() {
    let mut packed = Vec::new();
    for sample in samples().into_iter().filter(|sample| sample.name == "gzip") {
        packed = sample.packed;
    }
    let cut = unpack(&packed[..packed.len() - 3], 64).2.unwrap().to_string();
    let end = packed.len() - 3;
    assert_eq!(cut, format!("its gzip data ends too early (at byte {end} of the gzip data)"));
    packed.extend_from_slice(b"\0\0\0rows");
    assert_eq!(
        unpack(&packed, 64).2.unwrap().to_string(),
        format!(
            "its gzip data is followed by bytes that are no gzip data (at byte {} of the gzip \
             data)",
            packed.len() - 4
        )
    );
}

#[test]
fn a_frame_that_needs_too_much_memory_is_refused_with_its_size_and_takes_none() {
    // The header of `zstd --ultra -22 --long=31`: a window of 2 GiB.
    let header = [&b"\x28\xb5\x2f\xfd\x00"[..], &[21 << 3], &[0; 40]].concat();
    let (_, _, fault) = unpack(&header, header.len());
    assert_eq!(
        fault.map(|fault| fault.trouble),
        Some(Trouble::NeedsMemory((2 << 30) + 512 * 1024))
    );
}

#[test]
fn text_and_other_files_are_not_packed() {
    for text in [
        &b""[..],
        b"1,2\n",
        b"BZh9 rows\n",
        b"BZh91,AY\n",
        b"\x1f",
        b"\0\0\0\x05\0\0\0\x05hello",
        b"P*M,18",
        b"PK\x03\x04",
    ] {
        assert_eq!(Codec::of(text, true), None, "{text:?}");
    }
    assert_eq!(Codec::of(b"BZh91AY&", true), Some(Codec::Bzip2), "cut, and no text");
    assert_eq!(Codec::of(b"BZh91AY&", false), None, "more bytes follow");
}

#[test]
fn a_bomb_comes_in_blocks() {
    let mut inner = ::zstd::stream::encode_all(&vec![0_u8; 1 << 26][..], 1).unwrap();
    let mut outer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    outer.write_all(&inner).unwrap();
    inner = outer.finish().unwrap();
    assert!(inner.len() < 8192);
    let mut unpacker = Unpacker::new(Codec::Gzip);
    let mut rest = &inner[..];
    let (mut blocks, mut bytes) = (0, 0);
    loop {
        match unpacker.next(&mut rest) {
            Ok([]) => break,
            Ok(block) => (blocks, bytes) = (blocks + 1, bytes + block.len()),
            Err(Fault { trouble: Trouble::NeedsMemory(bytes), .. }) => unpacker.allow(bytes),
            Err(fault) => panic!("{fault}"),
        }
    }
    assert_eq!(unpacker.finish(), Ok(&[][..]));
    assert_eq!(bytes, 1 << 26);
    assert!(blocks >= 512, "{blocks}");
}

/// Packs with the libraries.
fn pack(codec: Codec, text: &[u8]) -> Vec<u8> {
    match codec {
        Codec::Gzip => {
            let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            to.write_all(text).unwrap();
            to.finish().unwrap()
        }
        Codec::Zstd => ::zstd::stream::encode_all(text, 3).unwrap(),
        Codec::Bzip2 => {
            let mut to = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
            to.write_all(text).unwrap();
            to.finish().unwrap()
        }
        Codec::Xz => {
            let mut to = liblzma::write::XzEncoder::new(Vec::new(), 1);
            to.write_all(text).unwrap();
            to.finish().unwrap()
        }
        _ => {
            let mut to = snap::write::FrameEncoder::new(Vec::new());
            to.write_all(text).unwrap();
            to.into_inner().unwrap()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn what_the_libraries_packed_is_unpacked(
        pieces in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..200), 1_usize..3000), 1..5),
        codec in proptest::sample::select(
            &[Codec::Gzip, Codec::Zstd, Codec::Bzip2, Codec::Xz, Codec::Snappy][..]),
        step in 1_usize..5000,
    ) {
        // Several files after each other, each of a text that repeats. The first byte is no magic
        // number's.
        let texts: Vec<_> = pieces.iter().map(|(text, times)| text.repeat(*times)).collect();
        let text = [&b"a,"[..], &texts.concat()].concat();
        let mut packed = pack(codec, b"a,");
        packed.extend(texts.iter().flat_map(|text| pack(codec, text)));
        let (unpacked, codecs, fault) = unpack(&packed, step);
        prop_assert_eq!(fault, None);
        prop_assert_eq!(codecs, Some(Codecs { outer: codec, inner: None }));
        prop_assert!(unpacked == text);
    }
}
