//! Text to expression: a scanner and a recursive descent over `or`, `and`, `not`, match.

use super::{Expr, FilterError, Test};

/// More than this many levels are no honest filter.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(&'static str),
    End,
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) => write!(f, "`{word}`"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Symbol(symbol) => write!(f, "`{symbol}`"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// Reads a whole expression.
pub(super) fn parse(text: &str) -> Result<Expr, FilterError> {
    let mut parser = Parser {
        text,
        tokens: scan(text)?,
        at: 0,
        depth: 0,
    };
    let expr = parser.or()?;
    match parser.peek() {
        Token::End => Ok(expr),
        _ => Err(parser.expected("`and`, `or` or the end")),
    }
}

fn error_at(text: &str, offset: usize, message: &str) -> FilterError {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    FilterError(format!("{line}:{column} ({offset}): {message}"))
}

/// Cuts the text into tokens with their offsets.
fn scan(text: &str) -> Result<Vec<(Token, usize)>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if c.is_whitespace() {
            at += c.len_utf8();
            continue;
        }
        let symbol = ["==", "!=", "(", ")", "[", "]", "."]
            .into_iter()
            .find(|s| rest.starts_with(s));
        let (token, length) = if let Some(symbol) = symbol {
            (Token::Symbol(symbol), symbol.len())
        } else if c == '"' || c == '`' {
            quoted(rest, c).ok_or_else(|| error_at(text, at, "this text does not end"))?
        } else if c.is_alphanumeric() || "_-/*".contains(c) {
            let length = rest
                .find(|c: char| !(c.is_alphanumeric() || "_-/*".contains(c)))
                .unwrap_or(rest.len());
            (Token::Word(rest[..length].to_string()), length)
        } else {
            return Err(error_at(text, at, &format!("unexpected character `{c}`")));
        };
        tokens.push((token, at));
        at += length;
    }
    tokens.push((Token::End, text.len()));
    Ok(tokens)
}

/// The text inside quotes and how long it is with them. `"` knows escapes, a backquote none.
fn quoted(rest: &str, quote: char) -> Option<(Token, usize)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' if quote == '"' => {
                text.push(match chars.next()?.1 {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
            }
            c if c == quote => return Some((Token::Text(text), at + 1)),
            c => text.push(c),
        }
    }
    None
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<(Token, usize)>,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        &self.tokens[self.at].0
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    fn takes_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Token::Symbol(s) if *s == symbol);
        self.at += usize::from(found);
        found
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Token::Word(w) if w == word);
        self.at += usize::from(found);
        found
    }

    fn error(&self, message: &str) -> FilterError {
        error_at(self.text, self.tokens[self.at].1, message)
    }

    fn expected(&self, what: &str) -> FilterError {
        self.error(&format!("expected {what}, found {}", self.peek()))
    }

    fn or(&mut self) -> Result<Expr, FilterError> {
        let mut left = self.and()?;
        while self.takes_word("or") {
            left = Expr::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Expr, FilterError> {
        let mut left = self.not()?;
        while self.takes_word("and") {
            left = Expr::And(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Expr, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("the expression is nested too deeply"));
        }
        let expr = if self.takes_word("not") {
            Expr::Not(Box::new(self.not()?))
        } else if self.takes_symbol("(") {
            let inner = self.or()?;
            if !self.takes_symbol(")") {
                return Err(self.expected("`)`"));
            }
            inner
        } else {
            self.matching()?
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// `field test` or `value in field`.
    fn matching(&mut self) -> Result<Expr, FilterError> {
        if let Token::Text(value) = self.peek().clone() {
            self.next();
            return self.membership(value);
        }
        let field = self.field()?;
        if matches!(self.peek(), Token::Word(w) if w == "in")
            || (matches!(self.peek(), Token::Word(w) if w == "not")
                && matches!(self.tokens.get(self.at + 1), Some((Token::Word(w), _)) if w == "in"))
        {
            return self.membership(field.join("."));
        }
        let test = self.test()?;
        Ok(Expr::Match(field, test))
    }

    fn membership(&mut self, value: String) -> Result<Expr, FilterError> {
        let negated = self.takes_word("not");
        if !self.takes_word("in") {
            return Err(self.expected("`in` or `not in`"));
        }
        let field = self.field()?;
        let test = if negated {
            Test::NotContains(value)
        } else {
            Test::Contains(value)
        };
        Ok(Expr::Match(field, test))
    }

    fn field(&mut self) -> Result<Vec<String>, FilterError> {
        let Token::Word(first) = self.peek().clone() else {
            return Err(self.expected("a field or a value"));
        };
        self.next();
        let mut path = vec![first];
        loop {
            if self.takes_symbol(".") {
                let Token::Word(part) = self.peek().clone() else {
                    return Err(self.expected("a name after `.`"));
                };
                self.next();
                path.push(part);
            } else if self.takes_symbol("[") {
                let Token::Text(part) = self.peek().clone() else {
                    return Err(self.expected("a quoted key after `[`"));
                };
                self.next();
                path.push(part);
                if !self.takes_symbol("]") {
                    return Err(self.expected("`]`"));
                }
            } else {
                return Ok(path);
            }
        }
    }

    fn test(&mut self) -> Result<Test, FilterError> {
        if self.takes_symbol("==") {
            return Ok(Test::Equal(self.value()?));
        }
        if self.takes_symbol("!=") {
            return Ok(Test::NotEqual(self.value()?));
        }
        if self.takes_word("is") {
            let negated = self.takes_word("not");
            if !self.takes_word("empty") {
                return Err(self.expected("`empty`"));
            }
            return Ok(if negated { Test::NotEmpty } else { Test::Empty });
        }
        let negated = self.takes_word("not");
        if self.takes_word("contains") {
            let value = self.value()?;
            return Ok(if negated {
                Test::NotContains(value)
            } else {
                Test::Contains(value)
            });
        }
        if self.takes_word("matches") {
            let pattern = self.value()?;
            let regex = regex::Regex::new(&pattern).map_err(|e| {
                self.error(&format!("{pattern:?} is not a regular expression: {e}"))
            })?;
            return Ok(if negated {
                Test::NotMatches(regex)
            } else {
                Test::Matches(regex)
            });
        }
        Err(self.expected("`==`, `!=`, `is`, `in`, `contains` or `matches`"))
    }

    /// A quoted text, a word or a number with a fraction.
    fn value(&mut self) -> Result<String, FilterError> {
        let value = match self.peek().clone() {
            Token::Text(text) => text,
            Token::Word(word) => word,
            Token::Symbol(_) | Token::End => return Err(self.expected("a value")),
        };
        self.next();
        let whole = value.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        if whole && self.takes_symbol(".") {
            let Token::Word(fraction) = self.next() else {
                return Err(self.expected("digits after `.`"));
            };
            return Ok(format!("{value}.{fraction}"));
        }
        Ok(value)
    }
}
