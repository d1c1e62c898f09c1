//! Evaluates templates: texts with `${…}` and `%{…}` in them.

use hcl_edit::expr::Expression;
use hcl_edit::template::{Directive, Element, ForDirective, IfDirective, Strip};

use super::eval::Eval;
use super::scope::Scope;
use super::value::Value;

impl Eval<'_> {
    /// The value of a template: that of its only interpolation, or a text.
    pub(super) fn template<'t>(
        &mut self,
        elements: impl Iterator<Item = &'t Element>,
        scope: &Scope<'_>,
    ) -> Value {
        let elements: Vec<&Element> = elements.collect();
        if let [Element::Interpolation(only)] = elements[..] {
            return self.value(&only.expr, scope);
        }
        match self.text(&elements, scope) {
            Some(text) => Value::String(text),
            None => Value::Unknown,
        }
    }

    /// The text of a template, or `None` after a mistake.
    fn text(&mut self, elements: &[&Element], scope: &Scope<'_>) -> Option<String> {
        let mut out = String::new();
        let mut known = true;
        for (i, element) in elements.iter().enumerate() {
            let part = match element {
                Element::Literal(text) => {
                    let before = i.checked_sub(1).map(|b| strips(elements[b]).1);
                    let after = elements.get(i + 1).map(|e| strips(e).0);
                    let mut text = text.as_str();
                    if before == Some(true) {
                        text = text.trim_start();
                    }
                    if after == Some(true) {
                        text = text.trim_end();
                    }
                    Some(text.to_string())
                }
                Element::Interpolation(part) => self.part(&part.expr, scope),
                Element::Directive(directive) => match directive.as_ref() {
                    Directive::If(d) => self.if_directive(d, scope),
                    Directive::For(d) => self.for_directive(d, scope),
                },
            };
            match part {
                Some(part) if !self.spend(part.len()) => return None,
                Some(part) => out.push_str(&part),
                None => known = false,
            }
        }
        known.then_some(out)
    }

    /// The text of an interpolated expression.
    fn part(&mut self, expr: &Expression, scope: &Scope<'_>) -> Option<String> {
        let value = self.value(expr, scope);
        if value == Value::Unknown {
            return None;
        }
        let text = value.to_text();
        if text.is_none() {
            let detail = if value == Value::Null {
                "The expression result is null. Cannot include a null value in a string template."
            } else {
                "Cannot include the given value in a string template: string required."
            };
            self.mistake(
                self.start_of(expr),
                "Invalid template interpolation value",
                detail,
            );
        }
        text
    }

    fn if_directive(&mut self, directive: &IfDirective, scope: &Scope<'_>) -> Option<String> {
        let cond = &directive.if_expr.cond_expr;
        let test = self.value(cond, scope);
        if test == Value::Unknown {
            return None;
        }
        let Some(test) = test.to_bool() else {
            let detail = "The condition expression must be of type bool.";
            self.mistake(self.start_of(cond), "Incorrect condition type", detail);
            return None;
        };
        let (inside_start, inside_end) = match &directive.else_expr {
            Some(other) => (right(directive.if_expr.strip), left(other.strip)),
            None => (
                right(directive.if_expr.strip),
                left(directive.endif_expr.strip),
            ),
        };
        if test {
            let elements: Vec<_> = directive.if_expr.template.iter().collect();
            return Some(trim(self.text(&elements, scope)?, inside_start, inside_end));
        }
        match &directive.else_expr {
            Some(other) => {
                let elements: Vec<_> = other.template.iter().collect();
                let text = self.text(&elements, scope)?;
                let end = left(directive.endif_expr.strip);
                Some(trim(text, right(other.strip), end))
            }
            None => Some(String::new()),
        }
    }

    fn for_directive(&mut self, directive: &ForDirective, scope: &Scope<'_>) -> Option<String> {
        let intro = &directive.for_expr;
        let collection = self.value(&intro.collection_expr, scope);
        let pairs = self.pairs(collection, &intro.collection_expr)?;
        let elements: Vec<_> = intro.template.iter().collect();
        let mut out = String::new();
        for (key, value) in pairs {
            if !self.spend(1) {
                return None;
            }
            let mut inner = scope.inner();
            if let Some(name) = &intro.key_var {
                inner.set(name.as_str(), key);
            }
            inner.set(intro.value_var.as_str(), value);
            let text = self.text(&elements, &inner)?;
            let end = left(directive.endfor_expr.strip);
            out.push_str(&trim(text, right(intro.strip), end));
        }
        Some(out)
    }
}

/// Whether an element strips the white space before and after itself.
fn strips(element: &Element) -> (bool, bool) {
    match element {
        Element::Literal(_) => (false, false),
        Element::Interpolation(part) => (left(part.strip), right(part.strip)),
        Element::Directive(directive) => match directive.as_ref() {
            Directive::If(d) => (left(d.if_expr.strip), right(d.endif_expr.strip)),
            Directive::For(d) => (left(d.for_expr.strip), right(d.endfor_expr.strip)),
        },
    }
}

fn left(strip: Strip) -> bool {
    strip.strip_start()
}

fn right(strip: Strip) -> bool {
    strip.strip_end()
}

fn trim(text: String, start: bool, end: bool) -> String {
    let mut text = text.as_str();
    if start {
        text = text.trim_start();
    }
    if end {
        text = text.trim_end();
    }
    text.to_string()
}
