//! Functions on numbers.

use super::{CallError, Function, Kind, Param, failed, number, text, whole};
use crate::jobspec::value::{Number, Value};

const NUM: Param = Param("num", Kind::Number);

const fn plain(
    name: &'static str,
    run: fn(&[Value], &dyn crate::jobspec::Outside) -> Result<Value, CallError>,
) -> Function {
    Function {
        name,
        params: &[NUM],
        rest: None,
        run,
    }
}

pub(super) static TABLE: &[Function] = &[
    plain("abs", |a, _| {
        let n = number(&a[0]);
        let zero = Number::Int(0);
        Ok(Value::Number(if n < zero {
            zero.combine(n, i64::checked_sub, |x, y| x - y)
        } else {
            n
        }))
    }),
    plain("ceil", |a, _| Ok(float(number(&a[0]).as_f64().ceil()))),
    plain("floor", |a, _| Ok(float(number(&a[0]).as_f64().floor()))),
    plain("signum", |a, _| {
        let x = number(&a[0]).as_f64();
        Ok(float(if x == 0.0 { 0.0 } else { x.signum() }))
    }),
    Function {
        name: "max",
        params: &[],
        rest: Some(Param("numbers", Kind::Number)),
        run: |a, _| extreme(a, |new, best| new > best),
    },
    Function {
        name: "min",
        params: &[],
        rest: Some(Param("numbers", Kind::Number)),
        run: |a, _| extreme(a, |new, best| new < best),
    },
    Function {
        name: "pow",
        params: &[NUM, Param("power", Kind::Number)],
        rest: None,
        run: |a, _| {
            let (base, power) = (number(&a[0]), number(&a[1]));
            Ok(Value::Number(base.combine(
                power,
                |b, p| b.checked_pow(u32::try_from(p).ok()?),
                f64::powf,
            )))
        },
    },
    Function {
        name: "log",
        params: &[NUM, Param("base", Kind::Number)],
        rest: None,
        run: |a, _| {
            let (x, base) = (number(&a[0]).as_f64(), number(&a[1]).as_f64());
            let result = x.ln() / base.ln();
            let rounded = result.round();
            Ok(float(if (result - rounded).abs() < 1e-12 {
                rounded
            } else {
                result
            }))
        },
    },
    Function {
        name: "parseint",
        params: &[Param("number", Kind::Text), Param("base", Kind::Whole)],
        rest: None,
        run: |a, _| {
            let Ok(base @ 2..=36) = u32::try_from(whole(&a[1])) else {
                return failed(
                    "base must be a whole number between 2 and 62 inclusive; bases \
                               above 36 are not supported",
                );
            };
            i64::from_str_radix(text(&a[0]), base).map_or_else(
                |_| {
                    let given = text(&a[0]);
                    failed(format!("cannot parse {given:?} as a base {base} integer"))
                },
                |n| Ok(Value::int(n)),
            )
        },
    },
    Function {
        name: "range",
        params: &[],
        rest: Some(Param("params", Kind::Number)),
        run: |a, _| range(&a.iter().map(number).collect::<Vec<_>>()),
    },
];

/// The longest list that `range` makes.
const RANGE_MAX: usize = 1024;

fn float(x: f64) -> Value {
    Value::Number(Number::from_f64(x))
}

fn extreme(numbers: &[Value], better: fn(Number, Number) -> bool) -> Result<Value, CallError> {
    numbers
        .iter()
        .map(number)
        .reduce(|best, new| if better(new, best) { new } else { best })
        .map_or_else(
            || failed("must pass at least one number"),
            |n| Ok(Value::Number(n)),
        )
}

/// Numbers from a start to before an end, by a step.
fn range(params: &[Number]) -> Result<Value, CallError> {
    let zero = Number::Int(0);
    let (start, end, step) = match *params {
        [end] => (zero, end, Number::Int(if end < zero { -1 } else { 1 })),
        [start, end] => (start, end, Number::Int(if end < start { -1 } else { 1 })),
        [start, end, step] => (start, end, step),
        _ => return failed("must have one, two, or three arguments"),
    };
    if step == zero {
        return failed("step must not be zero");
    }
    let mut out = Vec::new();
    let mut next = start;
    while (step > zero && next < end) || (step < zero && next > end) {
        if out.len() >= RANGE_MAX {
            return failed(format!("more than {RANGE_MAX} values were generated"));
        }
        out.push(Value::Number(next));
        next = next.combine(step, i64::checked_add, |x, y| x + y);
    }
    Ok(Value::List(out))
}
