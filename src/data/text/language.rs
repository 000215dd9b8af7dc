//! What language a text is in, by a guess: by the script of its letters, and in Latin letters by the commonest function words of
//! seventeen languages, which each text has in plenty.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::words::Words;

/// Words that are looked at.
const LOOKED_AT: usize = 2_000;
/// Fewer letters or known words tell nothing.
const FEWEST_LETTERS: usize = 6;
const FEWEST: f32 = 1.5;
/// Share of words that are known, and how many times more than those of the next language.
const SHARE: f32 = 0.08;
const AHEAD: f32 = 1.25;

/// Function words of languages in Latin letters, and the commonest forms of `be`, `have` and negation.
const LATIN: [(&str, &str); 17] = [
    (
        "English",
        "the of and to in is that it for was with as you be this have are not but they from his her she he we my your i at on by or an \
         what all were when there can if would will do so me just don't it's i'm u",
    ),
    (
        "German",
        "der die das und ist nicht ein eine ich zu den mit es sich auf für von dem im auch als wie wir sie er des aber war wird bei nur \
         noch nach oder haben hat sind einen einer kann aus um dass was man so",
    ),
    (
        "French",
        "le la les de des et est un une que qui dans pas pour je il ce en du sur ne au avec plus par vous nous elle mais ou son sa sont \
         être cette ont à y c'est j'ai très on tout fait",
    ),
    (
        "Spanish",
        "el la de que y en un una los las por con no es para se lo como más su del al pero le ya me muy está son fue este hay cuando todo \
         esta ser tiene también sin",
    ),
    (
        "Portuguese",
        "o a de que e do da em um uma para com não os as no na é por mais se dos como mas foi ao ele das tem à seu sua ou ser quando muito \
         há nos já está eu também só pelo isso você",
    ),
    (
        "Italian",
        "il la di che e un una è per non con del si da le i dei nel alla gli lo sono come anche ma più questo della mi ho al ha era molto \
         delle ci questa essere ti perché",
    ),
    (
        "Dutch",
        "de het een van en in is dat op te zijn met voor niet aan er om maar ook als dan die bij door naar uit ze heb hij wordt wat geen \
         nog ik je was heeft worden deze kan over",
    ),
    (
        "Swedish",
        "och att det i en är som på för av med den inte till ett om har jag de men var så han kan från vi sig när eller vad också mycket \
         ska hade nu alla detta",
    ),
    (
        "Danish",
        "og at det i en er som på for af med den ikke til et om har jeg de men var så han kan fra vi sig når eller hvad også meget skal \
         havde nu alle dette blev efter",
    ),
    (
        "Norwegian",
        "og å det i en er som på for av med den ikke til et om har jeg de men var så han kan fra vi seg når eller hva også mye skal hadde \
         nå alle dette ble etter",
    ),
    (
        "Polish",
        "i w na z się nie to że do jest o jak po co ale za od tak czy tym przez jego może tylko już był jej dla są lub ten przy mnie było jako",
    ),
    (
        "Czech",
        "a se v na je že to s z do i o k jako ale za by pro tak po co nebo jsem jsou už podle byl který až ze být bylo při jeho jen jsme \
         není mi",
    ),
    (
        "Turkish",
        "ve bir bu da de için ile çok ne gibi daha ama olarak olan ben o var mi kadar sonra en değil her şey ya ki bana beni yok benim iyi",
    ),
    (
        "Indonesian",
        "yang dan di ini itu dengan untuk tidak dari dalam akan pada juga ke karena ada saya bisa kami mereka oleh sudah atau dia anda \
         kita lebih telah adalah seperti",
    ),
    ("Romanian", "și de în a la cu nu o că pe un din se este mai care pentru sunt au al ce fi am sau dar prin după fost său lui ca"),
    (
        "Finnish",
        "ja on ei se että hän oli mutta ovat myös joka kun niin kuin mitä tämä sen minä olen olla jos vain tai nyt mukaan ole siitä",
    ),
    (
        "Vietnamese",
        "và của là có không được cho một với các người này những đã trong khi tôi đến như để cũng thì ở ra rất nhiều lại về từ anh",
    ),
];

/// Languages of each word, with how much it tells: a word of several tells less.
static KNOWN: LazyLock<HashMap<&'static str, Vec<usize>>> = LazyLock::new(|| {
    let mut known: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, (_, words)) in LATIN.iter().enumerate() {
        words.split_whitespace().for_each(|word| known.entry(word).or_default().push(at));
    }
    known
});

/// The language's English name; empty where nothing tells.
pub fn guess(texts: &[&str]) -> &'static str {
    let letters = || texts.iter().flat_map(|text| text.chars()).filter(|c| c.is_alphabetic()).take(10 * LOOKED_AT);
    let all = letters().count();
    if all < FEWEST_LETTERS {
        return "";
    }
    let latin = letters().filter(|c| is_latin(*c)).count();
    if 2 * latin >= all { of_words(texts) } else { of_script(letters, all) }
}

fn is_latin(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '\u{aa}'..='\u{24f}' | '\u{1e00}'..='\u{1eff}')
}

fn of_words(texts: &[&str]) -> &'static str {
    let (mut scores, mut count) = ([0f32; LATIN.len()], 0usize);
    for word in texts.iter().flat_map(|text| Words::of(text)).take(LOOKED_AT) {
        count += 1;
        let Some(of) = KNOWN.get(word.replace('’', "'").as_str()) else { continue };
        of.iter().for_each(|at| scores[*at] += 1.0 / of.len() as f32);
    }
    let mut order: Vec<usize> = (0..LATIN.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let (best, next) = (scores[order[0]], scores[order[1]]);
    let told = best >= FEWEST && best >= SHARE * count as f32 && best >= AHEAD * next;
    if told { LATIN[order[0]].0 } else { "" }
}

/// A language, and which characters are of its own script.
type Script = (&'static str, fn(char) -> bool);

/// The language that is mostly written so.
fn of_script<I: Iterator<Item = char>>(letters: impl Fn() -> I, all: usize) -> &'static str {
    let share = |is: fn(char) -> bool| letters().filter(|c| is(*c)).count() as f32 / all as f32;
    let has = |signs: &str| letters().any(|c| signs.contains(c));
    let kana = share(|c| matches!(c, '\u{3040}'..='\u{30ff}'));
    let han = share(|c| matches!(c, '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}'));
    if kana + han > 0.5 {
        return if kana > 0.05 { "Japanese" } else { "Chinese" };
    }
    let cyrillic = share(|c| matches!(c, '\u{400}'..='\u{52f}'));
    if cyrillic > 0.5 {
        return match () {
            () if has("іїєґ") => "Ukrainian",
            () if has("ыэё") => "Russian",
            () if has("ђјљњћџ") => "Serbian",
            () if has("ъ") => "Bulgarian",
            () => "Russian",
        };
    }
    let arabic = share(|c| matches!(c, '\u{600}'..='\u{6ff}' | '\u{750}'..='\u{77f}' | '\u{fb50}'..='\u{fdff}' | '\u{fe70}'..='\u{feff}'));
    if arabic > 0.5 {
        return match () {
            () if has("ٹڈڑںے") => "Urdu",
            () if has("پچژگ") => "Persian",
            () => "Arabic",
        };
    }
    let others: [Script; 12] = [
        ("Greek", |c| matches!(c, '\u{370}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}')),
        ("Hebrew", |c| matches!(c, '\u{590}'..='\u{5ff}')),
        ("Hindi", |c| matches!(c, '\u{900}'..='\u{97f}')),
        ("Bengali", |c| matches!(c, '\u{980}'..='\u{9ff}')),
        ("Tamil", |c| matches!(c, '\u{b80}'..='\u{bff}')),
        ("Telugu", |c| matches!(c, '\u{c00}'..='\u{c7f}')),
        ("Thai", |c| matches!(c, '\u{e00}'..='\u{e7f}')),
        ("Korean", |c| matches!(c, '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{ac00}'..='\u{d7af}')),
        ("Georgian", |c| matches!(c, '\u{10a0}'..='\u{10ff}')),
        ("Armenian", |c| matches!(c, '\u{530}'..='\u{58f}')),
        ("Amharic", |c| matches!(c, '\u{1200}'..='\u{137f}')),
        ("Burmese", |c| matches!(c, '\u{1000}'..='\u{109f}')),
    ];
    others.into_iter().find(|(_, is)| share(*is) > 0.5).map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_tell_their_language() {
        for (text, language) in [
            ("The film is a delight from the first minute, and you will not want it to end.", "English"),
            ("Der Film ist von der ersten Minute an ein Genuss, und man will nicht, dass er endet.", "German"),
            ("Le film est un délice dès la première minute, et on ne veut pas qu'il finisse.", "French"),
            ("La película es una delicia desde el primer minuto y no quieres que se acabe.", "Spanish"),
            ("O filme é uma delícia desde o primeiro minuto, e você não quer que ele acabe.", "Portuguese"),
            ("Il film è una delizia dal primo minuto e non si vuole che finisca, anche per la musica.", "Italian"),
            ("De film is een genot vanaf de eerste minuut, en je wilt niet dat het ophoudt.", "Dutch"),
            ("Filmen är en njutning från första minuten, och man vill inte att den ska ta slut.", "Swedish"),
            ("Film jest przyjemnością od pierwszej minuty i nie chce się, żeby to był koniec, ale już po wszystkim.", "Polish"),
            ("Bu film çok iyi ve ben bir daha izlemek için bekliyorum, ama her şey gibi o da bitti.", "Turkish"),
            ("Film ini adalah yang terbaik dan saya tidak bisa menunggu untuk melihat itu dengan mereka.", "Indonesian"),
            ("Фильм восхитителен с первой минуты, и не хочется, чтобы он заканчивался. Это было бы жаль, ты же знаешь.", "Russian"),
            ("Фільм чудовий з першої хвилини.", "Ukrainian"),
            ("Η ταινία είναι απόλαυση.", "Greek"),
            ("הסרט הוא תענוג מהדקה הראשונה", "Hebrew"),
            ("الفيلم ممتع من الدقيقة الأولى", "Arabic"),
            ("यह फिल्म पहले मिनट से आनंददायक है", "Hindi"),
            ("この映画は最初の一分から楽しい。", "Japanese"),
            ("这部电影从第一分钟起就令人愉快。", "Chinese"),
            ("이 영화는 첫 순간부터 즐겁다.", "Korean"),
        ] {
            assert_eq!(guess(&[text]), language, "{text}");
        }
        for text in ["", "42", "asdf qwer zxcv uiop", "Krzysztof Kieslowski", "ok"] {
            assert_eq!(guess(&[text]), "", "{text}");
        }
    }
}
