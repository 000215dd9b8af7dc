//! Two texts line by line: what went, what came, what stayed. By the longest common subsequence, for texts that people write.

/// Lines of a text that are compared; longer texts are compared as far as this.
const MOST: usize = 800;
/// Lines that stayed and are shown around what changed.
const AROUND: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Gone,
    Come,
    Stayed,
    /// Lines that stayed are left out here.
    Gap,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub sign: Sign,
    pub text: String,
}

/// What changed, with some lines around it; nothing where the texts are the same.
pub fn diff(before: &str, after: &str) -> Vec<Line> {
    let (a, b): (Vec<&str>, Vec<&str>) = (before.lines().take(MOST).collect(), after.lines().take(MOST).collect());
    let begin = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let end = a[begin..].iter().rev().zip(b[begin..].iter().rev()).take_while(|(x, y)| x == y).count();
    let (middle_a, middle_b) = (&a[begin..a.len() - end], &b[begin..b.len() - end]);
    if middle_a.is_empty() && middle_b.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<Line> = a[..begin].iter().map(|text| line(Sign::Stayed, text)).collect();
    lines.extend(changed(middle_a, middle_b));
    lines.extend(a[a.len() - end..].iter().map(|text| line(Sign::Stayed, text)));
    shortened(lines)
}

fn line(sign: Sign, text: &str) -> Line {
    Line { sign, text: text.to_owned() }
}

fn changed(a: &[&str], b: &[&str]) -> Vec<Line> {
    let width = b.len() + 1;
    // common[i][j]: the longest common subsequence of a from i on and b from j on.
    let mut common = vec![0_u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i * width + j] = match a[i] == b[j] {
                true => common[(i + 1) * width + j + 1] + 1,
                false => common[(i + 1) * width + j].max(common[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            lines.push(line(Sign::Stayed, a[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]) {
            lines.push(line(Sign::Gone, a[i]));
            i += 1;
        } else {
            lines.push(line(Sign::Come, b[j]));
            j += 1;
        }
    }
    lines
}

/// Without what stayed far from any change.
fn shortened(lines: Vec<Line>) -> Vec<Line> {
    let near = |at: usize| {
        let (from, to) = (at.saturating_sub(AROUND), (at + AROUND + 1).min(lines.len()));
        lines[from..to].iter().any(|line| line.sign != Sign::Stayed)
    };
    let mut shown: Vec<Line> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if near(at) {
            shown.push(line.clone());
        } else if shown.last().is_none_or(|last| last.sign != Sign::Gap) {
            shown.push(Line { sign: Sign::Gap, text: String::new() });
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(before: &str, after: &str) -> String {
        let sign = |line: &Line| match line.sign {
            Sign::Gone => '-',
            Sign::Come => '+',
            Sign::Stayed => ' ',
            Sign::Gap => '@',
        };
        diff(before, after).iter().map(|line| format!("{}{}", sign(line), line.text)).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn what_changed_is_shown_with_its_surroundings() {
        assert_eq!(shown("a\nb\nc", "a\nx\nc"), " a|-b|+x| c");
        assert_eq!(shown("1\n2\n3\n4\n5\n6\n7\n8\n9", "1\n2\n3\n4\n5\n6\n7\n8\n0"), "@| 6| 7| 8|-9|+0");
        assert_eq!(shown("", "new"), "+new");
        assert_eq!(shown("same\n", "same\n"), "");
        assert_eq!(shown("a\nb", "b\nc"), "-a| b|+c");
    }

    proptest::proptest! {
        #[test]
        fn both_texts_are_in_it(before in "[ab\n]{0,40}", after in "[ab\n]{0,40}") {
            let lines = changed(&before.lines().collect::<Vec<_>>(), &after.lines().collect::<Vec<_>>());
            let of = |other: Sign| lines.iter().filter(|line| line.sign != other).map(|line| line.text.as_str()).collect::<Vec<_>>();
            proptest::prop_assert_eq!(of(Sign::Come), before.lines().collect::<Vec<_>>());
            proptest::prop_assert_eq!(of(Sign::Gone), after.lines().collect::<Vec<_>>());
        }
    }
}
