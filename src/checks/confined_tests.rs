//! What a server takes from a check, and what it does not.

use super::*;

fn preview(media_type: &str, base64: &str) -> Preview {
    Preview { class: "cat".into(), path: "cat/1.png".into(), media_type: media_type.into(), base64: base64.into() }
}

#[test]
fn a_report_brings_only_pictures_and_plain_texts_into_pages() {
    let previews = vec![
        preview("image/png", "iVBORw0KGgo="),
        preview("text/html", "iVBORw0KGgo="),
        preview("text/plain", "QSBjYXQu"),
        preview("text/plain; charset=x\r\nX-Evil: 1", "QSBjYXQu"),
        preview("image/svg+xml", "iVBORw0KGgo="),
        preview("image/jpeg", "\"><script>"),
    ];
    let report = sound(DatasetReport { previews, ..DatasetReport::default() });
    assert_eq!(report.previews, [preview("image/png", "iVBORw0KGgo="), preview("text/plain", "QSBjYXQu")]);
}

#[test]
fn findings_are_bounded_words() {
    let found = bounded(Findings { pickle: true, unsafe_because: Some("os\u{1b}[2J".repeat(900)), ..Findings::default() });
    let why = found.unsafe_because.unwrap();
    assert!(why.chars().count() == LONGEST_WORDS && !why.contains(char::is_control) && found.pickle);
}

#[test]
fn larger_files_have_more_time() {
    assert_eq!(patience(0), Duration::from_secs(600));
    assert_eq!(patience(10 << 30), Duration::from_secs(600 + 10_240));
}
