//! `format` and `formatlist`: texts from a pattern with verbs such as `%-5s` or `%.2f`.

use super::{CallError, Function, Kind, Param, failed, fits, text};
use crate::jobspec::value::{Number, Value};

const FORMAT: Param = Param("format", Kind::Text);
const ARGS: Param = Param("args", Kind::Any);

/// The widest field and longest fraction that a verb may ask for.
const WIDTH_MAX: usize = 4096;

pub(super) static TABLE: &[Function] = &[
    Function {
        name: "format",
        params: &[FORMAT],
        rest: Some(ARGS),
        run: |a, _| format(text(&a[0]), &a[1..]).map(Value::String),
    },
    Function {
        name: "formatlist",
        params: &[FORMAT],
        rest: Some(ARGS),
        run: |a, _| format_list(text(&a[0]), &a[1..]),
    },
];

/// Formats once for every element of the lists; what is no list is repeated.
fn format_list(pattern: &str, arguments: &[Value]) -> Result<Value, CallError> {
    let mut rows: Option<usize> = None;
    for argument in arguments {
        if let Value::List(items) = argument
            && *rows.get_or_insert(items.len()) != items.len()
        {
            return failed("the lists have different lengths");
        }
    }
    let repeated: usize = arguments
        .iter()
        .filter(|a| !matches!(a, Value::List(_)))
        .map(Value::size)
        .sum();
    fits(rows.unwrap_or(1).saturating_mul(pattern.len() + repeated))?;
    let row = |i: usize| -> Vec<Value> {
        arguments
            .iter()
            .map(|argument| match argument {
                Value::List(items) => items[i].clone(),
                other => other.clone(),
            })
            .collect()
    };
    (0..rows.unwrap_or(1))
        .map(|i| format(pattern, &row(i)).map(Value::String))
        .collect::<Result<_, _>>()
        .map(Value::List)
}

/// One `%…` of a pattern.
#[derive(Default)]
struct Verb {
    plus: bool,
    minus: bool,
    zero: bool,
    space: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
    letter: char,
}

fn format(pattern: &str, arguments: &[Value]) -> Result<String, CallError> {
    let mut out = String::new();
    let mut chars = pattern.chars().peekable();
    let mut next = 0;
    let mut highest = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        if chars.peek() == Some(&'%') {
            chars.next();
            out.push('%');
            continue;
        }
        let mut verb = Verb::default();
        while let Some(flag) = chars.next_if(|c| "+-0 #".contains(*c)) {
            match flag {
                '+' => verb.plus = true,
                '-' => verb.minus = true,
                '0' => verb.zero = true,
                ' ' => verb.space = true,
                _ => verb.sharp = true,
            }
        }
        verb.width = digits(&mut chars)?.unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            verb.precision = Some(digits(&mut chars)?.unwrap_or(0));
        }
        if chars.next_if_eq(&'[').is_some() {
            let index = digits(&mut chars)?.unwrap_or(0);
            if index == 0 || chars.next_if_eq(&']').is_none() {
                return failed("invalid argument index in format string");
            }
            next = index - 1;
        }
        let Some(letter) = chars.next() else {
            return failed("unterminated format string: unexpected end after %");
        };
        verb.letter = letter;
        let Some(argument) = arguments.get(next) else {
            return failed(format!(
                "not enough arguments for %{letter}: need index {} but have {} total",
                next + 1,
                arguments.len()
            ));
        };
        next += 1;
        highest = highest.max(next);
        out.push_str(&verb.apply(argument)?);
        fits(out.len())?;
    }
    if highest < arguments.len() {
        return failed(format!(
            "too many arguments; only {highest} used by format string"
        ));
    }
    Ok(out)
}

fn digits(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Option<usize>, CallError> {
    let mut number: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        let so_far = number.unwrap_or(0) * 10 + digit as usize;
        if so_far > WIDTH_MAX {
            return failed(format!("a width above {WIDTH_MAX} is not supported"));
        }
        number = Some(so_far);
    }
    Ok(number)
}

impl Verb {
    fn apply(&self, value: &Value) -> Result<String, CallError> {
        let wrong = |wanted: &str| {
            failed(format!(
                "unsupported value for %{}: {wanted} required",
                self.letter
            ))
        };
        let body = match self.letter {
            'v' if self.sharp => value.to_json().to_string(),
            'v' => value
                .to_text()
                .unwrap_or_else(|| value.to_json().to_string()),
            't' => match value.to_bool() {
                Some(b) => b.to_string(),
                None => return wrong("bool"),
            },
            's' | 'q' => match value.to_text() {
                Some(text) => {
                    let kept: String = match self.precision {
                        Some(n) => text.chars().take(n).collect(),
                        None => text,
                    };
                    if self.letter == 'q' {
                        Value::String(kept).to_json().to_string()
                    } else {
                        kept
                    }
                }
                None => return wrong("string"),
            },
            'd' | 'b' | 'o' | 'x' | 'X' => match value.to_number() {
                Some(number) => self.signed(number.as_f64() < 0.0, self.integer(number)),
                None => return wrong("number"),
            },
            'e' | 'E' | 'f' | 'g' | 'G' => match value.to_number() {
                Some(number) => {
                    let x = number.as_f64();
                    self.signed(x < 0.0, self.float(x.abs()))
                }
                None => return wrong("number"),
            },
            other => return failed(format!("unsupported format verb {other:?}")),
        };
        Ok(self.padded(body))
    }

    /// The digits of a whole number without its sign; fractions are cut off.
    fn integer(&self, number: Number) -> String {
        let n = match number {
            Number::Int(i) => i.unsigned_abs(),
            Number::Float(f) => f.abs() as u64,
        };
        match self.letter {
            'b' => format!("{n:b}"),
            'o' => format!("{n:o}"),
            'x' => format!("{n:x}"),
            'X' => format!("{n:X}"),
            _ => n.to_string(),
        }
    }

    fn float(&self, x: f64) -> String {
        match self.letter {
            'f' => format!("{x:.*}", self.precision.unwrap_or(6)),
            'g' | 'G' => Number::from_f64(x).to_string(),
            letter => {
                let text = format!("{x:.*e}", self.precision.unwrap_or(6));
                let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, digits) = match exponent.strip_prefix('-') {
                    Some(digits) => ('-', digits),
                    None => ('+', exponent),
                };
                format!("{mantissa}{letter}{sign}{digits:0>2}")
            }
        }
    }

    fn signed(&self, negative: bool, digits: String) -> String {
        let sign = match (negative, self.plus, self.space) {
            (true, _, _) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            (false, false, false) => "",
        };
        if self.zero && !self.minus {
            let width = self.width.saturating_sub(sign.len());
            return format!("{sign}{digits:0>width$}");
        }
        format!("{sign}{digits}")
    }

    fn padded(&self, text: String) -> String {
        let width = self.width;
        if self.minus {
            format!("{text:<width$}")
        } else {
            format!("{text:>width$}")
        }
    }
}
