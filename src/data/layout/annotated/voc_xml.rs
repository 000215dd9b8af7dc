//! The XML of Pascal VOC: one `annotation` with the objects of one image. Only these elements are looked at; entities other than those of
//! XML itself are nothing.

use quick_xml::Reader;
use quick_xml::events::Event;

/// What one file says.
#[derive(Debug, Default, PartialEq)]
pub struct Annotated {
    pub filename: String,
    /// Width and height.
    pub size: Option<[u32; 2]>,
    pub objects: Vec<Boxed>,
}

/// An object with its corners as they are written.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Boxed {
    pub name: String,
    /// `xmin`, `ymin`, `xmax`, `ymax`.
    pub corners: [Option<f32>; 4],
    /// Whether it was marked as one that is not to be counted.
    pub difficult: bool,
}

const ROOT: &str = "annotation";
const CORNERS: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];
/// Elements in one another.
const DEEPEST: usize = 32;

/// Reads a file. `None` where it is XML of something else.
///
/// # Errors
/// What is no XML.
pub fn read(text: &str) -> Result<Option<Annotated>, String> {
    let mut reader = Reader::from_str(text);
    let (mut found, mut path, mut written) = (Annotated::default(), Vec::<String>::new(), String::new());
    let (mut size, mut rooted) = ([None::<u32>; 2], false);
    loop {
        let event = reader.read_event().map_err(|error| format!("at byte {}: {error}", reader.error_position()))?;
        match event {
            Event::Start(start) => {
                path.push(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                written.clear();
                if path[0] != ROOT {
                    return Ok(None);
                }
                rooted = true;
                if path.len() > DEEPEST {
                    return Err(format!("it has more than {DEEPEST} elements in one another"));
                }
                if path.iter().map(String::as_str).eq(["annotation", "object"]) {
                    found.objects.push(Boxed::default());
                }
            }
            Event::Text(text) => written.push_str(&text.decode().map_err(|error| error.to_string())?),
            Event::CData(text) => written.push_str(&String::from_utf8_lossy(&text)),
            Event::GeneralRef(entity) => written.push(match &*entity {
                b"amp" => '&',
                b"lt" => '<',
                b"gt" => '>',
                b"quot" => '"',
                b"apos" => '\'',
                _ => '\u{fffd}',
            }),
            Event::End(_) => {
                take(&path, written.trim(), &mut found, &mut size);
                path.pop();
                written.clear();
            }
            Event::Empty(only) if path.is_empty() => rooted |= only.local_name().as_ref() == ROOT.as_bytes(),
            Event::Eof if path.is_empty() && !rooted => return Ok(None),
            Event::Eof if path.is_empty() => break,
            Event::Eof => return Err("it ends before its elements do".into()),
            _ => {}
        }
    }
    found.size = size[0].zip(size[1]).filter(|(width, height)| *width > 0 && *height > 0).map(|(width, height)| [width, height]);
    Ok(Some(found))
}

/// What an element of this path says.
fn take(path: &[String], text: &str, found: &mut Annotated, size: &mut [Option<u32>; 2]) {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["annotation", "filename"] => found.filename = text.to_owned(),
        ["annotation", "size", "width"] => size[0] = text.parse().ok(),
        ["annotation", "size", "height"] => size[1] = text.parse().ok(),
        ["annotation", "object", "name"] => {
            if let Some(object) = found.objects.last_mut() {
                object.name = text.to_owned();
            }
        }
        ["annotation", "object", "difficult"] => {
            if let Some(object) = found.objects.last_mut() {
                object.difficult = text == "1";
            }
        }
        ["annotation", "object", "bndbox", corner] => {
            let at = CORNERS.iter().position(|known| known == corner);
            if let (Some(at), Some(object)) = (at, found.objects.last_mut()) {
                object.corners[at] = text.parse().ok();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_is_read() {
        let text = "<?xml version='1.0'?>\n<!-- x --><annotation><filename>a &amp; b.jpg</filename><size><width>64</width><height>48</height></size>\
            <object><name>red cell</name><part><name>x</name></part><bndbox><xmin>3</xmin><ymin>4.5</ymin><xmax>10</xmax><ymax>12</ymax></bndbox></object>\
            <object><name>dog</name><difficult>1</difficult></object></annotation>";
        let found = read(text).unwrap().unwrap();
        assert_eq!((found.filename.as_str(), found.size), ("a & b.jpg", Some([64, 48])));
        let corners = [Some(3.0), Some(4.5), Some(10.0), Some(12.0)];
        assert_eq!(found.objects[0], Boxed { name: "red cell".into(), corners, difficult: false });
        assert_eq!((found.objects[1].corners, found.objects[1].difficult), ([None; 4], true));
    }

    #[test]
    fn other_files_are_told_apart() {
        assert_eq!(read("<svg><path/></svg>").unwrap(), None);
        assert!(read("<annotation><object>").is_err() && read("<annotation><a></b></annotation>").is_err());
        assert!(read(&"<annotation>".repeat(100)).is_err());
        assert_eq!((read("x").unwrap(), read("").unwrap()), (None, None));
        assert_eq!(read("<annotation/>").unwrap(), Some(Annotated::default()));
    }
}
