//! The canonical layout of a text in HCL: indents, spaces between words, aligned columns.
//!
//! It moves words within their lines and never breaks or joins lines; texts in quotes, heredocs
//! and comments stay as they are. The rules are those of the formatters that users know.

/// A word of the language, or a text that is kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    Text,
    Comment,
    Open,
    Close,
    /// `,` and `...`: close to what is before.
    Tail,
    /// `.`: close to both sides.
    Dot,
    Assign,
    Operator,
}

#[derive(Clone, Copy, Debug)]
struct Word<'t> {
    kind: Kind,
    text: &'t str,
}

#[derive(Debug, Default)]
struct Line<'t> {
    words: Vec<Word<'t>>,
    indent: usize,
}

/// The text in its canonical layout. The text must be one that [`check`](super::check) accepts.
pub fn format(text: &str) -> String {
    let mut lines = lines_of(text);
    indent(&mut lines);
    let cells: Vec<[String; 3]> = lines.iter().map(cells).collect();
    let ends_open = !text.is_empty() && !text.ends_with('\n');
    let mut out = columns(&cells).join("\n");
    if !ends_open {
        out.push('\n');
    }
    if text.is_empty() { String::new() } else { out }
}

fn lines_of(text: &str) -> Vec<Line<'_>> {
    let mut lines = vec![Line::default()];
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('\n') {
            lines.push(Line::default());
            rest = after;
            continue;
        }
        if rest.starts_with(char::is_whitespace) {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
            continue;
        }
        let (kind, length) = word(rest);
        let (word, after) = rest.split_at(length);
        if let Some(line) = lines.last_mut() {
            line.words.push(Word { kind, text: word });
        }
        rest = after;
    }
    if text.ends_with('\n') {
        lines.pop();
    }
    lines
}

/// What `rest` begins with, and how long that is.
fn word(rest: &str) -> (Kind, usize) {
    let line = |text: &str| text.find('\n').unwrap_or(text.len());
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if rest.starts_with('#') || rest.starts_with("//") {
        return (Kind::Comment, rest[..line(rest)].trim_end().len());
    }
    if rest.starts_with("/*") {
        return (
            Kind::Comment,
            rest.find("*/").map_or(rest.len(), |at| at + 2),
        );
    }
    if rest.starts_with('"') {
        return (Kind::Text, quoted(rest));
    }
    if rest.starts_with("<<") {
        return (Kind::Text, heredoc(rest));
    }
    if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        let fraction = rest.starts_with(|c: char| c.is_ascii_digit());
        let end = rest.find(|c| !(is_name(c) && (c != '-' || !fraction) || fraction && c == '.'));
        return (Kind::Name, end.unwrap_or(rest.len()));
    }
    if rest.starts_with("...") {
        return (Kind::Tail, 3);
    }
    let two = ["==", "!=", "<=", ">=", "&&", "||", "=>"];
    if two.iter().any(|sign| rest.starts_with(sign)) {
        return (Kind::Operator, 2);
    }
    let first = rest.chars().next().unwrap_or_default();
    let kind = match first {
        '(' | '[' | '{' => Kind::Open,
        ')' | ']' | '}' => Kind::Close,
        ',' => Kind::Tail,
        '.' => Kind::Dot,
        '=' => Kind::Assign,
        _ => Kind::Operator,
    };
    (kind, first.len_utf8())
}

/// The length of the quoted text at the start, expressions in it included.
fn quoted(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if depth == 0 => {
                chars.next();
            }
            '"' if depth == 0 => return at + 1,
            '"' => {
                let inner = quoted(&text[at..]);
                while chars.peek().is_some_and(|(next, _)| *next < at + inner) {
                    chars.next();
                }
            }
            '$' | '%' if depth == 0 && text[at + 1..].starts_with(c) => {
                chars.next();
            }
            '$' | '%' if depth == 0 && text[at + 1..].starts_with('{') => {
                chars.next();
                depth = 1;
            }
            '{' if depth > 0 => depth += 1,
            '}' if depth > 0 => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of the heredoc at the start, up to the end of its closing tag.
fn heredoc(text: &str) -> usize {
    let Some(first) = text.find('\n') else {
        return text.len();
    };
    let tag = text[2..first].trim_start_matches('-').trim();
    let mut at = first + 1;
    for line in text[at..].split_inclusive('\n') {
        if line.trim() == tag {
            return at + line.trim_end().len();
        }
        at += line.len();
    }
    text.len()
}

/// Brackets that a line opens, less those that it closes.
fn balance(words: &[Word<'_>]) -> isize {
    let one = |word: &Word<'_>| match word.kind {
        Kind::Open => 1,
        Kind::Close => -1,
        _ => 0,
    };
    words.iter().map(one).sum()
}

/// A line that opens several brackets indents once, and the line that closes them undoes it.
fn indent(lines: &mut [Line<'_>]) {
    let mut open: Vec<isize> = Vec::new();
    for line in lines {
        let mut net = balance(&line.words);
        if net > 0 {
            line.indent = open.len();
            open.push(net);
            continue;
        }
        while net < 0 {
            let Some(top) = open.pop() else { break };
            net += top;
            if net > 0 {
                open.push(net);
            }
        }
        line.indent = open.len();
    }
}

/// A line as its start, its assignment and its comment, the last two of which are aligned.
fn cells(line: &Line<'_>) -> [String; 3] {
    let mut words = line.words.as_slice();
    let mut comment = &words[..0];
    if let [before @ .., last] = words
        && last.kind == Kind::Comment
        && !before.is_empty()
    {
        comment = &words[before.len()..];
        words = before;
    }
    let at = words.iter().position(|w| w.kind == Kind::Assign);
    // An assignment that goes on in further lines is not aligned.
    let at = at.filter(|at| *at > 0 && balance(&words[*at..]) == 0);
    let (start, assigned) = words.split_at(at.unwrap_or(words.len()));
    let mut lead = joined(start);
    if !lead.is_empty() {
        lead.insert_str(0, &"  ".repeat(line.indent));
    }
    [lead, joined(assigned), joined(comment)]
}

/// The lines, with what follows the first cell in columns over neighbouring lines.
fn columns(cells: &[[String; 3]]) -> Vec<String> {
    let mut lines: Vec<String> = cells.iter().map(|c| c[0].clone()).collect();
    for column in [1, 2] {
        let mut at = 0;
        while at < lines.len() {
            let chain = cells[at..].iter().take_while(|c| !c[column].is_empty());
            let end = at + chain.count();
            let width = |line: &String| line.rsplit('\n').next().unwrap_or("").chars().count();
            let widest = lines[at..end].iter().map(width).max().unwrap_or(0);
            for (line, cell) in lines[at..end].iter_mut().zip(&cells[at..end]) {
                let gap = widest - width(line) + 1;
                line.push_str(&" ".repeat(gap));
                line.push_str(&cell[column]);
            }
            at = end.max(at + 1);
        }
    }
    lines
}

fn joined(words: &[Word<'_>]) -> String {
    let mut out = String::new();
    for (at, word) in words.iter().enumerate() {
        if at > 0 && spaced(&words[..at], word) {
            out.push(' ');
        }
        out.push_str(word.text);
    }
    out
}

/// Whether a space stands between the last word of `before` and `next`.
fn spaced(before: &[Word<'_>], next: &Word<'_>) -> bool {
    let [.., last] = before else {
        return false;
    };
    let keyword = matches!(last.text, "in" | "for" | "if");
    match (last.kind, next.kind) {
        (_, Kind::Comment) => true,
        (Kind::Open, Kind::Close) => false,
        (Kind::Open, _) => last.text == "{",
        (_, Kind::Close) => next.text == "}",
        (_, Kind::Tail) | (Kind::Dot, _) | (_, Kind::Dot) => false,
        (Kind::Name, Kind::Open) if !keyword => next.text == "{",
        (Kind::Close, Kind::Open) => next.text == "{",
        (Kind::Operator, _) => !is_unary(before),
        _ => true,
    }
}

/// Whether the operator at the end of `words` belongs to what follows it alone.
fn is_unary(words: &[Word<'_>]) -> bool {
    let [before @ .., sign] = words else {
        return false;
    };
    let begins = before.last().is_none_or(|w| {
        matches!(
            w.kind,
            Kind::Open | Kind::Tail | Kind::Assign | Kind::Operator
        )
    });
    sign.text == "!" || sign.text == "-" && begins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_captured_file_gets_its_captured_layout() {
        let ugly = "job \"x\" {\ngroup \"g\"   {\n  count=1\n      task \"t\" {\n driver=\"docker\"\n  \
                    config {\n image=\"redis:7\"\n      force_pull=false\n }\n}\n}\n}\n";
        let nice = r#"job "x" {
  group "g" {
    count = 1
    task "t" {
      driver = "docker"
      config {
        image      = "redis:7"
        force_pull = false
      }
    }
  }
}
"#;
        assert_eq!(format(ugly), nice);
        assert_eq!(format(nice), nice);
    }

    #[test]
    fn spaces_and_columns() {
        let cases = [
            ("a=[1,2 , 3]", "a = [1, 2, 3]"),
            (
                "a = [ for x in [ 1 ] : x+1 if ! x ]",
                "a = [for x in [1] : x + 1 if !x]",
            ),
            ("a={b=1}", "a = { b = 1 }"),
            ("a = { }", "a = {}"),
            ("a = max( 1,- 2 )-3", "a = max(1, -2) - 3"),
            ("a = x . y [0]", "a = x.y[0]"),
            ("a = f(b ...)", "a = f(b...)"),
            ("a = b?1:2.5", "a = b ? 1 : 2.5"),
            (
                "a = \"${ x+\"}\" }$${\" # why",
                "a = \"${ x+\"}\" }$${\" # why",
            ),
            (
                "a=1 # one\nbcd=22 // two",
                "a   = 1  # one\nbcd = 22 // two",
            ),
            ("a = [\n1,\n]\nbcd = 2", "a = [\n  1,\n]\nbcd = 2"),
            ("a = f({\nb=1\n})", "a = f({\n  b = 1\n})"),
            ("# alone\n  # too", "# alone\n# too"),
        ];
        for (given, wanted) in cases {
            assert_eq!(format(given), wanted);
            assert_eq!(format(wanted), wanted, "it stays");
        }
    }

    #[test]
    fn heredocs_and_comments_are_kept() {
        let text = "a {\n  data = <<-EOF\n   x=1\n      EOF\n  b    = 1\n  /* x\n y */\n}\n";
        assert_eq!(format(text), text);
        assert_eq!(format(""), "");
    }
}
