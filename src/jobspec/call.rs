//! Evaluates calls of functions.

use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::FuncCall;

use super::diag::{Source, did_you_mean};
use super::eval::Eval;
use super::funcs::{self, CallError};
use super::scope::Scope;
use super::types::Type;
use super::value::Value;

impl Eval<'_> {
    /// The value of a call.
    pub(super) fn call(&mut self, call: &FuncCall, scope: &Scope<'_>) -> Value {
        let name = call.name.name.as_str();
        match name {
            "can" if call.args.len() == 1 => {
                let argument = call.args.get(0);
                return Value::Bool(
                    argument.is_some_and(|expr| self.quietly(expr, scope).is_some()),
                );
            }
            "convert" if call.args.len() == 2 => return self.convert_call(call, scope),
            "try" if !call.args.is_empty() => {
                for argument in call.args.iter() {
                    if let Some(value) = self.quietly(argument, scope) {
                        return value;
                    }
                }
                let detail = "Call to function \"try\" failed: no expression succeeded.";
                return self.fail(
                    call_head(call, self.source),
                    "Error in function call",
                    detail,
                );
            }
            _ => {}
        }
        let Some(function) = funcs::find(name).filter(|_| !call.name.is_namespaced()) else {
            let detail = format!(
                "There is no function named {name:?}.{}",
                did_you_mean(name, funcs::names())
            );
            return self.fail(call.name.name.span(), "Call to unknown function", detail);
        };
        let mut arguments: Vec<Value> = Vec::new();
        for (i, expr) in call.args.iter().enumerate() {
            let value = self.value(expr, scope);
            match value {
                Value::List(items) if call.args.expand_final() && i + 1 == call.args.len() => {
                    arguments.extend(items);
                }
                value => arguments.push(value),
            }
        }
        if arguments.contains(&Value::Unknown) {
            return Value::Unknown;
        }
        match funcs::call(function, arguments, self.outside) {
            Ok(value) => self.paid(value),
            Err(error) => self.call_failed(call, error),
        }
    }

    /// `convert(value, type)`, whose second argument is no value.
    fn convert_call(&mut self, call: &FuncCall, scope: &Scope<'_>) -> Value {
        let (Some(value), Some(kind)) = (call.args.get(0), call.args.get(1)) else {
            return Value::Unknown;
        };
        match Type::from_expr(kind) {
            Ok(kind) => self
                .converted(value, &kind, scope)
                .unwrap_or(Value::Unknown),
            Err(why) => self.fail(self.start_of(kind), "Invalid type specification", why),
        }
    }

    fn call_failed(&mut self, call: &FuncCall, error: CallError) -> Value {
        let name = call.name.name.as_str();
        let head = call_head(call, self.source);
        match error {
            CallError::TooFew { wanted } => {
                let detail = format!("Function {name:?} expects {wanted} argument(s).");
                self.fail(head, "Not enough function arguments", detail)
            }
            CallError::TooMany { wanted } => {
                let detail = format!("Function {name:?} expects only {wanted} argument(s).");
                self.fail(head, "Too many function arguments", detail)
            }
            CallError::Argument {
                index,
                parameter,
                why,
            } => {
                let last = call.args.len().saturating_sub(1);
                let span = call
                    .args
                    .get(index.min(last))
                    .and_then(|expr| self.start_of(expr))
                    .or(head);
                let detail = format!("Invalid value for {parameter:?} parameter: {why}.");
                self.fail(span, "Invalid function argument", detail)
            }
            CallError::Failed(why) => {
                let detail = format!("Call to function {name:?} failed: {why}.");
                self.fail(head, "Error in function call", detail)
            }
        }
    }
}

/// A call's name with its opening parenthesis.
pub(super) fn call_head(call: &FuncCall, source: &Source) -> Option<Range<usize>> {
    let name = call.name.name.span()?;
    let open = source.text.get(name.end..)?.find('(')?;
    Some(name.start..name.end + open + 1)
}
