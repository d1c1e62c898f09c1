//! Evaluates expressions.
//!
//! A mistake is reported once and makes the result [`Value::Unknown`], which silently makes
//! everything computed from it unknown too. A reference to a name that the job file cannot know
//! (`attr`, `node`, `NOMAD_…`) evaluates to its own text in `${…}`, for the client to resolve.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::{
    BinaryOp, BinaryOperator, Conditional, Expression, ForExpr, Object, ObjectKey, UnaryOp,
    UnaryOperator,
};

use super::Outside;
use super::call::call_head;
use super::diag::{Diagnostic, Place, Source};
use super::scope::Scope;
use super::value::{Number, Value};

/// How much one job file may make: steps, elements and characters together. A file of this size
/// is never an honest one, and a server evaluates files of strangers.
const BUDGET: usize = 30_000_000;

/// Evaluates the expressions of one source text and collects what is wrong with them.
pub(super) struct Eval<'a> {
    pub(super) source: &'a Source,
    pub(super) outside: &'a dyn Outside,
    pub(super) diags: Vec<Diagnostic>,
    /// Declared variables that nobody gave a value; using one is a mistake.
    pub(super) unset: BTreeSet<String>,
    /// Uses of such variables, reported after everything else.
    pub(super) unset_used: Vec<Diagnostic>,
    /// Whether spans are places in the source; those of the JSON syntax are not.
    pub(super) spans: bool,
    /// What is left of [`BUDGET`].
    budget: usize,
}

impl<'a> Eval<'a> {
    pub(super) fn new(source: &'a Source, outside: &'a dyn Outside) -> Self {
        Self {
            source,
            outside,
            diags: Vec::new(),
            unset: BTreeSet::new(),
            unset_used: Vec::new(),
            spans: true,
            budget: BUDGET,
        }
    }

    /// Reports a mistake at `span`.
    pub(super) fn mistake(
        &mut self,
        span: Option<Range<usize>>,
        summary: &str,
        detail: impl Into<String>,
    ) {
        let place = self.place(span);
        self.diags.push(Diagnostic::error(place, summary, detail));
    }

    /// `span` in this source; what has no span lies anywhere in it.
    pub(super) fn place(&self, span: Option<Range<usize>>) -> Place {
        match span.filter(|_| self.spans) {
            Some(span) => self.source.place(span),
            None => self.source.whole(),
        }
    }

    /// Reports a mistake and yields the unknown value.
    pub(super) fn fail(
        &mut self,
        span: Option<Range<usize>>,
        summary: &str,
        detail: impl Into<String>,
    ) -> Value {
        self.mistake(span, summary, detail);
        Value::Unknown
    }

    /// Takes `amount` off the budget; `false` when it is used up, which is reported once.
    pub(super) fn spend(&mut self, amount: usize) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget = self.budget.saturating_sub(amount);
        if self.budget == 0 {
            let detail = "The expressions of this file make too much text or too many elements.";
            self.mistake(None, "Too much to evaluate", detail);
        }
        self.budget > 0
    }

    /// Passes a value on whose size is paid for.
    pub(super) fn paid(&mut self, value: Value) -> Value {
        if self.spend(value.size()) {
            value
        } else {
            Value::Unknown
        }
    }

    /// The value of `expr`.
    pub(super) fn value(&mut self, expr: &Expression, scope: &Scope<'_>) -> Value {
        if !self.spend(1) {
            return Value::Unknown;
        }
        match expr {
            Expression::Null(_) => Value::Null,
            Expression::Bool(b) => Value::Bool(*b.value()),
            Expression::Number(n) => Value::Number(number(n.value())),
            Expression::String(s) => Value::text(s.as_str()),
            Expression::Array(items) => {
                let items = items.iter().map(|item| self.value(item, scope)).collect();
                Value::List(items)
            }
            Expression::Object(object) => self.object(object, scope),
            Expression::StringTemplate(template) => self.template(template.iter(), scope),
            Expression::HeredocTemplate(heredoc) => self.template(heredoc.template.iter(), scope),
            Expression::Parenthesis(inner) => self.value(inner.inner(), scope),
            Expression::Variable(name) => match scope.get(name.as_str()) {
                Some(value) => self.paid(value.clone()),
                None => runtime_reference(expr),
            },
            Expression::Conditional(cond) => self.conditional(cond, scope),
            Expression::FuncCall(call) => self.call(call, scope),
            Expression::Traversal(traversal) => self.traversal(traversal, expr, scope),
            Expression::UnaryOp(op) => self.unary(op, scope),
            Expression::BinaryOp(op) => self.binary(op, scope),
            Expression::ForExpr(for_expr) => self.for_expr(for_expr, scope),
        }
    }

    /// The value of `expr`, and nothing reported: for `can`, `try` and branches not taken.
    pub(super) fn quietly(&mut self, expr: &Expression, scope: &Scope<'_>) -> Option<Value> {
        let reported = self.diags.len();
        let value = self.value(expr, scope);
        let failed = self.diags.len() > reported || value.has_unknown();
        // That there is too much to do is not the expression's own failure.
        if self.budget > 0 {
            self.diags.truncate(reported);
        }
        (!failed).then_some(value)
    }

    fn object(&mut self, object: &Object, scope: &Scope<'_>) -> Value {
        let mut entries = BTreeMap::new();
        let mut known = true;
        for (key, value) in object {
            let name = match key {
                ObjectKey::Ident(ident) => Some(ident.as_str().to_string()),
                ObjectKey::Expression(expr) => self.key_text(expr, scope),
            };
            let value = self.value(value.expr(), scope);
            match name {
                Some(name) => {
                    entries.insert(name, value);
                }
                None => known = false,
            }
        }
        if known {
            Value::Object(entries)
        } else {
            Value::Unknown
        }
    }

    /// The text of a key, or `None` after a mistake.
    fn key_text(&mut self, expr: &Expression, scope: &Scope<'_>) -> Option<String> {
        let value = self.value(expr, scope);
        if value == Value::Unknown {
            return None;
        }
        let text = value.to_text();
        if text.is_none() {
            let detail = "Can't use this value as a key: string required.";
            self.mistake(self.start_of(expr), "Incorrect key type", detail);
        }
        text
    }

    fn conditional(&mut self, cond: &Conditional, scope: &Scope<'_>) -> Value {
        let test = self.value(&cond.cond_expr, scope);
        if test == Value::Unknown {
            return Value::Unknown;
        }
        let Some(test_is_true) = test.to_bool() else {
            let detail = "The condition expression must be of type bool.";
            return self.fail(
                self.start_of(&cond.cond_expr),
                "Incorrect condition type",
                detail,
            );
        };
        let (taken, other) = if test_is_true {
            (&cond.true_expr, &cond.false_expr)
        } else {
            (&cond.false_expr, &cond.true_expr)
        };
        let value = self.value(taken, scope);
        // Both branches have one type, so a number beside a text becomes a text.
        match (&value, self.quietly(other, scope)) {
            (Value::Number(_) | Value::Bool(_), Some(Value::String(_))) => {
                value.to_text().map_or(value, Value::String)
            }
            _ => value,
        }
    }

    fn unary(&mut self, op: &UnaryOp, scope: &Scope<'_>) -> Value {
        let value = self.value(&op.expr, scope);
        if value == Value::Unknown {
            return Value::Unknown;
        }
        let result = match op.operator.value() {
            UnaryOperator::Neg => value.to_number().map(|n| {
                let zero = Number::Int(0);
                Value::Number(zero.combine(n, i64::checked_sub, |a, b| a - b))
            }),
            UnaryOperator::Not => value.to_bool().map(|b| Value::Bool(!b)),
        };
        let wanted = match op.operator.value() {
            UnaryOperator::Neg => "a number",
            UnaryOperator::Not => "bool",
        };
        result.unwrap_or_else(|| {
            let detail = format!("Unsuitable value for unary operand: {wanted} is required.");
            self.fail(self.start_of(&op.expr), "Invalid operand", detail)
        })
    }

    fn binary(&mut self, op: &BinaryOp, scope: &Scope<'_>) -> Value {
        let left = self.value(&op.lhs_expr, scope);
        let right = self.value(&op.rhs_expr, scope);
        if left == Value::Unknown || right == Value::Unknown {
            return Value::Unknown;
        }
        match op.operator.value() {
            BinaryOperator::Eq => Value::Bool(left == right),
            BinaryOperator::NotEq => Value::Bool(left != right),
            BinaryOperator::And | BinaryOperator::Or => {
                let left = self.operand("left", &op.lhs_expr, left.to_bool(), "bool");
                let right = self.operand("right", &op.rhs_expr, right.to_bool(), "bool");
                match (left, right, op.operator.value()) {
                    (Some(a), Some(b), BinaryOperator::And) => Value::Bool(a && b),
                    (Some(a), Some(b), _) => Value::Bool(a || b),
                    _ => Value::Unknown,
                }
            }
            operator => {
                let left = self.operand("left", &op.lhs_expr, left.to_number(), "a number");
                let right = self.operand("right", &op.rhs_expr, right.to_number(), "a number");
                match (left, right) {
                    (Some(a), Some(b)) => arithmetic(*operator, a, b),
                    _ => Value::Unknown,
                }
            }
        }
    }

    /// Passes a converted operand on, or reports that it is none.
    fn operand<T>(
        &mut self,
        side: &str,
        expr: &Expression,
        converted: Option<T>,
        wanted: &str,
    ) -> Option<T> {
        if converted.is_none() {
            let detail = format!("Unsuitable value for {side} operand: {wanted} is required.");
            self.mistake(self.start_of(expr), "Invalid operand", detail);
        }
        converted
    }

    fn for_expr(&mut self, for_expr: &ForExpr, scope: &Scope<'_>) -> Value {
        let collection = self.value(&for_expr.intro.collection_expr, scope);
        let Some(pairs) = self.pairs(collection, &for_expr.intro.collection_expr) else {
            return Value::Unknown;
        };
        let key_name = for_expr.intro.key_var.as_ref().map(|k| k.as_str());
        let value_name = for_expr.intro.value_var.as_str();
        let mut list = Vec::new();
        let mut object: BTreeMap<String, Value> = BTreeMap::new();
        for (key, value) in pairs {
            if !self.spend(1) {
                return Value::Unknown;
            }
            let mut inner = scope.inner();
            if let Some(name) = key_name {
                inner.set(name, key);
            }
            inner.set(value_name, value);
            if let Some(cond) = &for_expr.cond {
                match self.value(&cond.expr, &inner).to_bool() {
                    Some(true) => {}
                    Some(false) => continue,
                    None => {
                        let detail = "The 'if' clause value is invalid: bool is required.";
                        return self.fail(
                            self.start_of(&cond.expr),
                            "Invalid 'for' condition",
                            detail,
                        );
                    }
                }
            }
            let value = self.value(&for_expr.value_expr, &inner);
            let Some(key_expr) = &for_expr.key_expr else {
                list.push(value);
                continue;
            };
            let Some(key) = self.key_text(key_expr, &inner) else {
                return Value::Unknown;
            };
            if for_expr.grouping {
                match object.entry(key).or_insert_with(|| Value::List(Vec::new())) {
                    Value::List(group) => group.push(value),
                    other => *other = Value::Unknown,
                }
            } else if object.insert(key.clone(), value).is_some() {
                let detail = format!(
                    "Two different items produced the key {key:?} in this 'for' expression. If \
                     duplicates are expected, use the ellipsis (...) after the value expression \
                     to enable grouping by key."
                );
                return self.fail(self.start_of(key_expr), "Duplicate object key", detail);
            }
        }
        match for_expr.key_expr {
            Some(_) => Value::Object(object),
            None => Value::List(list),
        }
    }

    /// The keys and values to iterate over, or `None` after a mistake.
    pub(super) fn pairs(
        &mut self,
        collection: Value,
        expr: &Expression,
    ) -> Option<Vec<(Value, Value)>> {
        match collection {
            Value::List(items) => Some(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(i, item)| (Value::count(i), item))
                    .collect(),
            ),
            Value::Object(entries) => Some(
                entries
                    .into_iter()
                    .map(|(key, value)| (Value::String(key), value))
                    .collect(),
            ),
            Value::Unknown => None,
            other => {
                let detail = format!(
                    "A value of type {} cannot be used as the collection in a 'for' expression.",
                    other.type_name()
                );
                self.mistake(
                    self.start_of(expr),
                    "Iteration over non-iterable value",
                    detail,
                );
                None
            }
        }
    }

    /// Where messages about `expr` point: its first part.
    pub(super) fn start_of(&self, expr: &Expression) -> Option<Range<usize>> {
        start_span(expr, self.source)
    }
}

/// Where messages about `expr` point: the start of an operation, the brace of an object, the
/// name of a function, the inside of a text's quotes.
fn start_span(expr: &Expression, source: &Source) -> Option<Range<usize>> {
    let span = expr.span()?;
    let first = || Some(span.start..span.start + 1);
    match expr {
        Expression::String(s) if !s.is_empty() => Some(span.start + 1..span.end - 1),
        Expression::StringTemplate(template) => match template.iter().next() {
            Some(element) if template.len() > 1 => element.span(),
            _ => Some(span.clone()),
        },
        Expression::HeredocTemplate(heredoc) => {
            heredoc.template.iter().next().and_then(|e| e.span())
        }
        Expression::Array(_) | Expression::Object(_) | Expression::ForExpr(_) => first(),
        Expression::FuncCall(call) => call_head(call, source),
        Expression::BinaryOp(op) => start_span(&op.lhs_expr, source),
        Expression::Conditional(cond) => start_span(&cond.cond_expr, source),
        Expression::UnaryOp(op) => op.operator.span(),
        _ => Some(span),
    }
}

/// A reference for the client to resolve, as its text.
pub(super) fn runtime_reference(expr: &Expression) -> Value {
    let mut expr = expr.clone();
    hcl_edit::Decorate::decor_mut(&mut expr).clear();
    Value::String(format!("${{{}}}", expr.to_string().trim()))
}

/// A parsed number as ours.
fn number(n: &hcl_edit::Number) -> Number {
    n.as_i64().map_or_else(
        || Number::from_f64(n.as_f64().unwrap_or(f64::NAN)),
        Number::Int,
    )
}

fn arithmetic(operator: BinaryOperator, a: Number, b: Number) -> Value {
    let number = |n: Number| Value::Number(n);
    match operator {
        BinaryOperator::Plus => number(a.combine(b, i64::checked_add, |x, y| x + y)),
        BinaryOperator::Minus => number(a.combine(b, i64::checked_sub, |x, y| x - y)),
        BinaryOperator::Mul => number(a.combine(b, i64::checked_mul, |x, y| x * y)),
        BinaryOperator::Div => number(a.combine(b, exact_div, |x, y| x / y)),
        BinaryOperator::Mod => number(a.combine(b, i64::checked_rem, |x, y| x % y)),
        BinaryOperator::Less => Value::Bool(a < b),
        BinaryOperator::LessEq => Value::Bool(a <= b),
        BinaryOperator::Greater => Value::Bool(a > b),
        BinaryOperator::GreaterEq => Value::Bool(a >= b),
        BinaryOperator::Eq => Value::Bool(a == b),
        BinaryOperator::NotEq => Value::Bool(a != b),
        // Handled before the operands become numbers.
        BinaryOperator::And | BinaryOperator::Or => Value::Unknown,
    }
}

/// The quotient if it is whole.
fn exact_div(a: i64, b: i64) -> Option<i64> {
    (b != 0 && a.checked_rem(b)? == 0).then(|| a / b)
}
