//! Template text to a tree.

use super::TemplateError;

/// A piece of a template.
#[derive(Debug)]
pub enum Node {
    Text(String),
    Print(Pipe),
    Set(String, Pipe),
    /// Variables for key and value, what to walk, body, body when empty.
    Range(Vec<String>, Pipe, Vec<Node>, Vec<Node>),
    If(Pipe, Vec<Node>, Vec<Node>),
    With(Pipe, Vec<Node>, Vec<Node>),
}

/// Commands, each given the result of the one before as its last argument.
pub type Pipe = Vec<Vec<Term>>;

/// A word of a command.
#[derive(Clone, Debug)]
pub enum Term {
    /// `.A.B`: a path from the dot.
    Path(Vec<String>),
    /// `$x.A`: a path from a variable.
    Variable(String, Vec<String>),
    /// A function's name.
    Word(String),
    Text(String),
    Number(f64),
    Flag(bool),
    Nothing,
    /// A pipe in parentheses, and a path from its value.
    Group(Pipe, Vec<String>),
}

enum Token {
    Text(String),
    Action(String),
}

/// Reads a template.
pub fn parse(source: &str) -> Result<Vec<Node>, TemplateError> {
    let tokens = tokens(source)?;
    let mut tokens = tokens.into_iter();
    let (nodes, stop) = block(&mut tokens, None)?;
    match stop {
        Some(word) => Err(TemplateError::Stray(word)),
        None => Ok(nodes),
    }
}

fn tokens(mut source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut out = Vec::new();
    while let Some(start) = source.find("{{") {
        let (text, rest) = source.split_at(start);
        let rest = &rest[2..];
        let Some(end) = rest.find("}}") else {
            return Err(TemplateError::Open(rest.trim().to_owned()));
        };
        let (action, after) = (&rest[..end], &rest[end + 2..]);
        let (action, text) = match action.strip_prefix("- ") {
            Some(action) => (action, text.trim_end()),
            None => (action, text),
        };
        out.push(Token::Text(text.to_owned()));
        let (action, after) = match action.strip_suffix(" -") {
            Some(action) => (action, after.trim_start()),
            None => (action, after),
        };
        let action = action.trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            out.push(Token::Action(action.to_owned()));
        }
        source = after;
    }
    out.push(Token::Text(source.to_owned()));
    Ok(out)
}

/// Reads up to the `end` or `else` of `opener`; returns that word.
fn block(
    tokens: &mut std::vec::IntoIter<Token>,
    opener: Option<&str>,
) -> Result<(Vec<Node>, Option<String>), TemplateError> {
    let mut nodes = Vec::new();
    while let Some(token) = tokens.next() {
        let action = match token {
            Token::Text(text) => {
                if !text.is_empty() {
                    nodes.push(Node::Text(text));
                }
                continue;
            }
            Token::Action(action) => action,
        };
        let (word, rest) = action.split_once(' ').unwrap_or((&action, ""));
        match word {
            "end" | "else" => return Ok((nodes, Some(action))),
            "range" | "if" | "with" => nodes.push(control(tokens, word, rest.trim(), &action)?),
            "define" | "template" | "block" | "break" | "continue" => {
                return Err(TemplateError::Function(word.to_owned()));
            }
            _ => nodes.push(simple(&action)?),
        }
    }
    match opener {
        Some(opener) => Err(TemplateError::NoEnd(opener.to_owned())),
        None => Ok((nodes, None)),
    }
}

fn simple(action: &str) -> Result<Node, TemplateError> {
    if let Some((names, pipe)) = assignment(action) {
        let name = names.first().cloned().unwrap_or_default();
        return Ok(Node::Set(name, self::pipe(pipe)?));
    }
    Ok(Node::Print(pipe(action)?))
}

fn assignment(action: &str) -> Option<(Vec<String>, &str)> {
    if !action.starts_with('$') {
        return None;
    }
    let at = action.find('=')?;
    let (left, right) = (&action[..at], &action[at + 1..]);
    let left = left.strip_suffix(':').unwrap_or(left);
    let names: Option<Vec<String>> = left
        .split(',')
        .map(|n| n.trim().strip_prefix('$').map(str::to_owned))
        .collect();
    let plain = |n: &String| n.chars().all(|c| c.is_alphanumeric() || c == '_');
    names
        .filter(|all| all.iter().all(plain))
        .map(|all| (all, right))
}

fn control(
    tokens: &mut std::vec::IntoIter<Token>,
    word: &str,
    rest: &str,
    action: &str,
) -> Result<Node, TemplateError> {
    let (names, rest) = match assignment(rest).filter(|_| word == "range") {
        Some(found) => found,
        None => (Vec::new(), rest),
    };
    let pipe = pipe(rest)?;
    let (body, stop) = block(tokens, Some(action))?;
    let otherwise = match stop.as_deref().and_then(|s| s.strip_prefix("else")) {
        None => Vec::new(),
        Some("") => {
            let (nodes, stop) = block(tokens, Some(action))?;
            if stop.as_deref() != Some("end") {
                return Err(TemplateError::Stray(stop.unwrap_or_default()));
            }
            nodes
        }
        Some(chained) => {
            let chained = chained.trim().to_owned();
            let (word, rest) = chained.split_once(' ').unwrap_or((&chained, ""));
            if word != "if" && word != "with" {
                return Err(TemplateError::Syntax(format!("else {chained}")));
            }
            vec![control(tokens, word, rest.trim(), &chained)?]
        }
    };
    Ok(match word {
        "range" => Node::Range(names, pipe, body, otherwise),
        "if" => Node::If(pipe, body, otherwise),
        _ => Node::With(pipe, body, otherwise),
    })
}

fn pipe(source: &str) -> Result<Pipe, TemplateError> {
    let chars: Vec<char> = source.chars().collect();
    let mut at = 0;
    let pipe = commands(&chars, &mut at, false)?;
    if at < chars.len() || pipe.iter().any(Vec::is_empty) {
        return Err(TemplateError::Syntax(source.to_owned()));
    }
    Ok(pipe)
}

fn commands(chars: &[char], at: &mut usize, nested: bool) -> Result<Pipe, TemplateError> {
    let mut pipe: Pipe = vec![Vec::new()];
    while let Some(&c) = chars.get(*at) {
        if c.is_whitespace() {
            *at += 1;
        } else if c == '|' {
            *at += 1;
            pipe.push(Vec::new());
        } else if c == ')' && nested {
            *at += 1;
            return Ok(pipe);
        } else {
            let term = term(chars, at)?;
            pipe.last_mut()
                .expect("there is a first command")
                .push(term);
        }
    }
    if nested {
        return Err(TemplateError::Syntax(chars.iter().collect()));
    }
    Ok(pipe)
}

fn term(chars: &[char], at: &mut usize) -> Result<Term, TemplateError> {
    let c = chars[*at];
    if c == '(' {
        *at += 1;
        let inner = commands(chars, at, true)?;
        return Ok(Term::Group(inner, path(&word(chars, at))));
    }
    if c == '"' || c == '`' {
        return string(chars, at, c);
    }
    let text = word(chars, at);
    if text.is_empty() {
        return Err(TemplateError::Syntax(chars[*at..].iter().collect()));
    }
    if text.starts_with('.') {
        return Ok(Term::Path(path(&text)));
    }
    if let Some(variable) = text.strip_prefix('$') {
        let (name, rest) = variable.split_at(variable.find('.').unwrap_or(variable.len()));
        return Ok(Term::Variable(name.to_owned(), path(rest)));
    }
    if let Ok(number) = text.parse::<f64>() {
        return Ok(Term::Number(number));
    }
    Ok(match text.as_str() {
        "true" => Term::Flag(true),
        "false" => Term::Flag(false),
        "nil" => Term::Nothing,
        _ => Term::Word(text),
    })
}

fn word(chars: &[char], at: &mut usize) -> String {
    let mut text = String::new();
    while let Some(&c) = chars.get(*at) {
        if c.is_whitespace() || "|()\"`".contains(c) {
            break;
        }
        text.push(c);
        *at += 1;
    }
    text
}

fn string(chars: &[char], at: &mut usize, quote: char) -> Result<Term, TemplateError> {
    let mut text = String::new();
    *at += 1;
    while let Some(&c) = chars.get(*at) {
        *at += 1;
        match c {
            c if c == quote => return Ok(Term::Text(text)),
            '\\' if quote == '"' => {
                let escaped = chars.get(*at).copied().unwrap_or('\\');
                *at += 1;
                text.push(match escaped {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    other => other,
                });
            }
            c => text.push(c),
        }
    }
    Err(TemplateError::Syntax(chars.iter().collect()))
}

fn path(text: &str) -> Vec<String> {
    text.split('.')
        .filter(|p| !p.is_empty())
        .map(str::to_owned)
        .collect()
}
