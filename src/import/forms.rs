//! Files that are no weights we read, called by their names, with what to do instead.

use std::io::Cursor;
use std::path::Path;

use super::torch_file::ZIP_MAGIC;

/// What a file is that is neither a safetensors file nor a PyTorch file.
pub fn of_other(path: &Path, bytes: &[u8]) -> String {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let convert = "export the weights as safetensors";
    let name = match bytes {
        [] => return "the file is empty".into(),
        _ if bytes.starts_with(b"version https://git-lfs.github.com/spec/") => {
            return "this is a Git LFS pointer, a note of where the file lies, not the file; fetch it with `git lfs pull`".into();
        }
        [0x80, 2..=5, ..] => {
            return "this is a bare pickle, which may hold any program; save the state dict with torch.save or as safetensors".into();
        }
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 (Keras) file",
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => "a TensorFlow Lite file",
        [b'G', b'G', b'U', b'F', ..] => "a GGUF file",
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => "a NumPy array",
        [0x1f, 0x8b, ..] => return "this is a gzip archive; unpack it and name the weights file inside".into(),
        [0xfd, b'7', b'z', b'X', b'Z', ..] => return "this is an xz archive; unpack it and name the weights file inside".into(),
        [b'7', b'z', 0xbc, 0xaf, ..] => return "this is a 7z archive; unpack it and name the weights file inside".into(),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => return "this is a Zstandard archive; unpack it and name the weights file inside".into(),
        _ if bytes.get(257..262) == Some(b"ustar") => return "this is a tar archive; unpack it and name the weights file inside".into(),
        _ if is_page(bytes) => {
            return "this is a web page, not weights: the download was answered with a page; fetch the file itself".into();
        }
        _ if ending == "pb" => "a TensorFlow graph (SavedModel)",
        _ if is_tensorflow_checkpoint(path) => "a part of a TensorFlow checkpoint",
        [0x08, ..] => "an ONNX file, by its first bytes,",
        _ if ending == "onnx" => "an ONNX file",
        _ if ending == "msgpack" => "a Flax file",
        _ if ending == "pdparams" => "a PaddlePaddle file",
        _ => return format!("this is neither a safetensors file nor a PyTorch file; {convert}"),
    };
    format!("this is {name} which is not read; {convert}")
}

fn is_page(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start().get(..14).unwrap_or_default().to_ascii_lowercase();
    start.starts_with(b"<!doctype html") || start.starts_with(b"<html")
}

/// `NAME.ckpt.data-00000-of-00001`, `NAME.ckpt.index`, `NAME.ckpt.meta`.
pub fn is_tensorflow_checkpoint(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.contains(".data-0") || name.ends_with(".ckpt.index") || name.ends_with(".ckpt.meta")
}

/// What a zip archive is where it is no state dict that PyTorch saved.
pub fn of_zip(path: &Path, bytes: &[u8]) -> Option<String> {
    if !bytes.starts_with(ZIP_MAGIC) {
        return None;
    }
    let archive = zip::ZipArchive::new(Cursor::new(bytes)).ok()?;
    let names: Vec<String> = archive.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect();
    let ends = |end: &str| names.iter().any(|name| name == end || name.ends_with(&format!("/{end}")));
    if ends("constants.pkl") && names.iter().any(|name| name.contains("/code/")) {
        let how = "load it with torch.jit.load and save its weights: torch.save(model.state_dict(), ...)";
        return Some(format!("this is a TorchScript archive, a program with its weights, which is not read; {how}"));
    }
    if ends("data.pkl") {
        return None;
    }
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let convert = "export the weights as safetensors";
    Some(match () {
        () if ends("model.weights.h5") || ending == "keras" => format!("this is a Keras 3 file (.keras), which is not read; {convert}"),
        () if !names.is_empty() && names.iter().all(|name| name.ends_with(".npy")) => {
            format!("this is a NumPy archive (.npz), which is not read; {convert}")
        }
        () if ends("MAR-INF/MANIFEST.json") => "this is a TorchServe archive (.mar); unpack it and name the weights file inside".into(),
        () if names.iter().any(|name| is_weights(name)) => "this zip archive holds weights; unpack it and name the file inside".into(),
        () => "this zip archive holds no `data.pkl`, so it is no PyTorch file; name a .safetensors, .pth or .pt file".into(),
    })
}

/// Endings of the files that hold weights we read.
pub fn is_weights(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    matches!(ending.as_str(), "safetensors" | "pth" | "pt" | "bin" | "ckpt" | "tar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_called_by_its_name() {
        for (name, bytes, word) in [
            ("a.pth", &b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"[..], "Git LFS pointer"),
            ("a.h5", b"\x89HDF\r\n\x1a\n", "HDF5 (Keras)"),
            ("a.tflite", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            ("a.onnx", b"\x08\x07\x12\x07pytorch", "ONNX"),
            ("saved_model.pb", b"\x08\x01", "SavedModel"),
            ("net.ckpt.data-00000-of-00001", b"\0\0\0\0", "TensorFlow checkpoint"),
            ("a.pt", b"<!DOCTYPE html><title>", "web page"),
            ("a.tar.gz", b"\x1f\x8b\x08", "gzip"),
            ("a.bin", b"\x80\x04\x95", "bare pickle"),
            ("a.gguf", b"GGUF\x03", "GGUF"),
            ("a", b"", "empty"),
            ("a", b"hello there", "neither"),
        ] {
            let told = of_other(Path::new(name), bytes);
            assert!(told.contains(word), "{name}: {told}");
        }
    }
}
