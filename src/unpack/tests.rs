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
            // Nothing tells a few first bytes from text. These begin with letters or lengths.
            let known_from = match codecs {
                "bzip2" => 5,
                "hadoop-snappy" => 11,
                _ if packed.starts_with(b"P") => 4,
                _ => 2,
            };
            let is_short = known.is_none() && length < known_from;
            assert!(fault.is_some() || may_end || is_short, "{name} cut at {length}");
        }
    }
}

#[test]
fn a_file_with_a_flipped_bit_is_refused_or_gives_its_rows() {
    for Sample { name, packed, .. } in samples() {
        for (at, bit) in (0..packed.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
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
    let is_marked =
        |codecs: &str| matches!(codecs, "gzip" | "bzip2" | "xz" | "zstd" | "lz4" | "snappy");
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
        b"BZh9",
        &[0; 3],
        &[0; 5],
        &[0; 512],
    ] {
        assert_eq!(Codec::of(text, true), None, "{text:?}");
    }
    for (cut, codec) in [
        (&b"\x1f\x8b"[..], Codec::Gzip),
        (b"\x28\xb5", Codec::Zstd),
        (b"\xfd7", Codec::Xz),
        (b"\x04\x22\x4d", Codec::Lz4),
        (b"\xff\x06\0", Codec::Snappy),
    ] {
        assert_eq!(Codec::of(cut, true), Some(codec), "{cut:?}");
        let fault = unpack(cut, 1).2.unwrap();
        assert_eq!(fault.trouble, Trouble::Damaged("ends too early"), "{codec}");
    }
    assert_eq!(Codec::of(b"BZh91AY&", true), Some(Codec::Bzip2), "cut, and no text");
    assert_eq!(Codec::of(b"BZh91AY&", false), None, "more bytes follow");
}

/// Hadoop writes an empty file as the length of an empty block.
#[test]
fn an_empty_block_of_hadoop_has_no_text_and_hides_none() {
    let sample = samples().into_iter().find(|sample| sample.codecs == "hadoop-snappy").unwrap();
    for (before, expected) in [(1, &b""[..]), (1, &sample.packed), (3, &sample.packed)] {
        let packed = [&[0; 4].repeat(before)[..], expected].concat();
        let (text, codecs, fault) = unpack(&packed, 3);
        assert_eq!((codecs.map(|it| it.outer), fault), (Some(Codec::HadoopSnappy), None));
        assert!(if expected.is_empty() { text.is_empty() } else { text == rows() });
    }
}

#[test]
fn the_padding_of_xz_comes_in_fours() {
    let sample = samples().into_iter().find(|sample| sample.codecs == "xz").unwrap();
    let padded = |zeros: usize, more: &[u8]| {
        let (text, _, fault) = unpack(&[&sample.packed[..], &vec![0; zeros], more].concat(), 5);
        (text.len() / rows().len(), fault.map(|fault| fault.trouble))
    };
    assert_eq!(padded(8, b""), (1, None));
    assert_eq!(padded(4, &sample.packed), (2, None));
    let wrong = Trouble::Damaged("has zeros after a stream that are not in fours");
    assert_eq!(padded(3, b""), (1, Some(wrong.clone())));
    assert_eq!(padded(6, &sample.packed), (1, Some(wrong)));
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
