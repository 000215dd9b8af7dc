//! Names with places: `features.1.{}.block.0.*` stands for one name for each number and each last part.

/// The name that `to` gives what is called `name` by `from`. The places of both stand in the same order; `{-1}` is a number
/// that is written one less than that of the other side.
pub fn translate(from: &str, to: &str, name: &str) -> Option<String> {
    let (mut numbers, mut parts) = (Vec::new(), Vec::new());
    let mut given = name.split('.');
    for part in from.split('.') {
        let given = given.next()?;
        if part == "*" {
            parts.push(given);
            continue;
        }
        match Number::of(part) {
            Some(number) => numbers.push(number.read(given)?),
            None if part == given => {}
            None => return None,
        }
    }
    if given.next().is_some() {
        return None;
    }
    let (mut numbers, mut parts) = (numbers.into_iter(), parts.into_iter());
    let written = to.split('.').map(|part| match Number::of(part) {
        _ if part == "*" => parts.next().map(String::from),
        Some(number) => number.write(numbers.next()?),
        None => Some(part.to_owned()),
    });
    Some(written.collect::<Option<Vec<_>>>()?.join("."))
}

/// A part with a number in it: `encoder_layer_{}`.
struct Number<'a> {
    before: &'a str,
    less: u64,
    after: &'a str,
}

impl<'a> Number<'a> {
    fn of(part: &'a str) -> Option<Number<'a>> {
        let (before, rest) = part.split_once('{')?;
        let (offset, after) = rest.split_once('}')?;
        let less = if offset.is_empty() { 0 } else { offset.strip_prefix('-')?.parse().ok()? };
        Some(Number { before, less, after })
    }

    fn read(&self, given: &str) -> Option<u64> {
        let digits = given.strip_prefix(self.before)?.strip_suffix(self.after)?;
        let sound = !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| digits.parse::<u64>().ok()).flatten()?.checked_add(self.less)
    }

    fn write(&self, number: u64) -> Option<String> {
        Some(format!("{}{}{}", self.before, number.checked_sub(self.less)?, self.after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_parts_are_carried_both_ways() {
        let (from, to) = ("features.{}.{}.block.0.*", "blocks.{-1}.{}.conv_pw.*");
        assert_eq!(translate(from, to, "features.3.1.block.0.weight").as_deref(), Some("blocks.2.1.conv_pw.weight"));
        assert_eq!(translate(to, from, "blocks.2.1.conv_pw.weight").as_deref(), Some("features.3.1.block.0.weight"));
        assert_eq!(
            translate("layers.layer_{}.ln.*", "blocks.{}.norm1.*", "layers.layer_11.ln.bias").as_deref(),
            Some("blocks.11.norm1.bias")
        );
        assert_eq!(translate("class_token", "cls_token", "class_token").as_deref(), Some("cls_token"));
        for name in ["features.3.1.block.0", "features.3.1.block.0.weight.x", "features.x.1.block.0.weight", "features.0.1.block.0.weight"]
        {
            assert_eq!(translate(from, to, name), None, "{name}");
        }
    }
}
