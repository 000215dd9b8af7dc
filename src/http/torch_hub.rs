//! `/files/{ns}/{name}/{stem}-{sha}.{ext}`: a file under a name that says what it must be, as
//! `torch.hub.load_state_dict_from_url(url, check_hash=True)` wants it. Old versions' files keep their names, so that a
//! script which names one works as long as the version is there.

use actix_web::{HttpRequest, web};

use super::caller::Caller;
use super::error::{Answer, HttpError};
use super::extract::FilesAt;
use super::stream;
use crate::domain::path::RepoPath;
use crate::service::Service;

/// Fewer digits than these say too little; torch asks for 8.
const LEAST_DIGITS: usize = 8;

pub async fn fetch(request: HttpRequest, service: web::Data<Service>, caller: Caller, at: FilesAt) -> Answer {
    let wanted = read(&at.path).map_err(HttpError::as_text)?;
    let file = service.open_file_of_digest(&caller.0, &at.id, wanted).await.map_err(|e| HttpError::from(e).as_text())?;
    let (response, begins) = stream::serve(&request, &service, &file).await?;
    if begins {
        service.count_download(&file.repo);
    }
    Ok(response)
}

/// What the name may mean: `net-0123abcd.pth` is `net.pth` or `net-0123abcd.pth`, with a sha256 that begins so.
fn read(path: &RepoPath) -> Result<Vec<(RepoPath, String)>, HttpError> {
    let wrong = || {
        let hint = "write STEM-SHA.EXT, such as net-0123abcd.pth for net.pth: 8 digits or more of the file's sha256";
        HttpError::bad_request("bad_path", format!("'{}' says no sha256", path.file_name()), hint)
    };
    let folder = path.as_str().strip_suffix(path.file_name()).unwrap_or_default();
    let (stem, rest) = path.file_name().rsplit_once('-').ok_or_else(wrong)?;
    let (sha, extension) = rest.split_once('.').ok_or_else(wrong)?;
    let digits = sha.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !digits || !(LEAST_DIGITS..=64).contains(&sha.len()) {
        return Err(wrong());
    }
    let plain = RepoPath::parse(&format!("{folder}{stem}.{extension}")).map_err(|_| wrong())?;
    Ok(vec![(plain, sha.to_owned()), (path.clone(), sha.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_its_sha256() {
        let read = |text: &str| read(&RepoPath::parse(text).unwrap());
        let both = read("a/resnet50-a1-0676ba61.pth.tar").unwrap();
        let paths: Vec<_> = both.iter().map(|(path, sha)| (path.as_str(), sha.as_str())).collect();
        assert_eq!(paths, [("a/resnet50-a1.pth.tar", "0676ba61"), ("a/resnet50-a1-0676ba61.pth.tar", "0676ba61")]);
        for bad in ["net.pth", "net-0123abc.pth", "net-0123abcdX.pth", "net-0123abcd", "-0123abcg.pth"] {
            assert_eq!(read(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
