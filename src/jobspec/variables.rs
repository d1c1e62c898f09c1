//! Input variables and locals.
//!
//! A variable's value is, from weakest to strongest: its default, the environment
//! (`NOMAD_VAR_name`), variables files in their order, `-var` arguments in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::{Expression, Traversal, TraversalOperator};
use hcl_edit::structure::{Block, Body, Structure};
use hcl_edit::visit::{Visit, visit_expr, visit_traversal};

use super::Outside;
use super::diag::{Diagnostic, Place, Source, did_you_mean};
use super::eval::Eval;
use super::scope::Scope;
use super::types::Type;
use super::value::Value;
use super::{json, syntax};

/// The prefix of environment variables that set input variables.
pub const ENV_PREFIX: &str = "NOMAD_VAR_";

/// What the user gave for a job file's variables.
#[derive(Clone, Debug, Default)]
pub struct Variables {
    env: BTreeMap<String, String>,
    files: Vec<Given>,
    flags: Vec<(String, String)>,
    /// Whether names in variables files that the job does not declare are only warned about.
    lenient: bool,
}

/// One line of a variables file.
#[derive(Clone, Debug)]
struct Given {
    name: String,
    value: Value,
    place: Place,
}

impl Variables {
    /// Takes `NOMAD_VAR_…` out of an environment.
    pub fn env(&mut self, env: impl IntoIterator<Item = (String, String)>) {
        self.env.extend(env.into_iter().filter_map(|(key, value)| {
            let name = key.strip_prefix(ENV_PREFIX)?.to_string();
            Some((name, value))
        }));
    }

    /// Takes one `-var` argument, `name=value`.
    pub fn flag(&mut self, argument: &str) -> Result<(), String> {
        let Some((name, value)) = argument.split_once('=') else {
            return Err(format!(
                "{argument:?} is not of the form name=value, as -var needs it"
            ));
        };
        self.flags
            .push((name.trim().to_string(), value.to_string()));
        Ok(())
    }

    /// Takes one `-var-file`, in HCL or (by its name or first character) JSON.
    pub fn file(&mut self, source: &Source, outside: &dyn Outside) -> Vec<Diagnostic> {
        let is_json = source.name.ends_with(".json") || source.text.trim_start().starts_with('{');
        let parsed = if is_json {
            json::parse_values(source)
        } else {
            syntax::parse(source)
        };
        let body = match parsed {
            Ok(body) => body,
            Err(diags) => return diags,
        };
        let mut eval = Eval::new(source, outside);
        for structure in &body {
            match structure {
                Structure::Attribute(attribute) => {
                    let value = eval.value(&attribute.value, &Scope::default());
                    self.files.push(Given {
                        name: attribute.key.to_string(),
                        value,
                        place: eval.place(attribute.key.span().filter(|_| !is_json)),
                    });
                }
                Structure::Block(block) => {
                    let detail = "A variables file holds only name = value lines.";
                    eval.mistake(block.ident.span(), "Unsupported block type", detail);
                }
            }
        }
        eval.diags
    }

    /// Whether undeclared names in variables files are mistakes (the default) or warnings.
    pub fn strict(&mut self, strict: bool) {
        self.lenient = !strict;
    }
}

/// A variable as the job file declares it.
struct Declared<'b> {
    kind: Type,
    default: Option<(Value, Option<Range<usize>>)>,
    validations: Vec<&'b Block>,
    span: Option<Range<usize>>,
}

impl Eval<'_> {
    /// The scope with `var` and `local`; mistakes leave their names unknown.
    pub(super) fn root_scope(&mut self, body: &Body, given: &Variables) -> Scope<'static> {
        let mut scope = Scope::default();
        let declared = self.declarations(body);
        let values = self.resolve(&declared, given);
        scope.set("var", Value::Object(values));
        self.locals(body, &mut scope);
        scope
    }

    fn declarations<'b>(&mut self, body: &'b Body) -> BTreeMap<String, Declared<'b>> {
        let mut declared = BTreeMap::new();
        for block in body.blocks() {
            let found = match block.ident.as_str() {
                "variable" => self.declaration(block).into_iter().collect(),
                "variables" => self.shorthand(block),
                _ => continue,
            };
            for (name, declaration) in found {
                let span = declaration.span.clone();
                if declared.insert(name.clone(), declaration).is_some() {
                    let detail = format!("Variable {name:?} was already declared.");
                    self.mistake(span, "Duplicate variable", detail);
                }
            }
        }
        declared
    }

    /// `variables { name = default … }`.
    fn shorthand<'b>(&mut self, block: &'b Block) -> Vec<(String, Declared<'b>)> {
        let mut found = Vec::new();
        for attribute in block.body.attributes() {
            let value = self.value(&attribute.value, &Scope::default());
            let declaration = Declared {
                kind: Type::Any,
                default: Some((value, attribute.value.span())),
                validations: Vec::new(),
                span: attribute.key.span(),
            };
            found.push((attribute.key.to_string(), declaration));
        }
        found
    }

    fn declaration<'b>(&mut self, block: &'b Block) -> Option<(String, Declared<'b>)> {
        let span = block.ident.span();
        let [label] = &block.labels[..] else {
            let detail = "All variable blocks must have 1 labels (name).";
            self.mistake(span, "Missing name for variable", detail);
            return None;
        };
        let mut declared = Declared {
            kind: Type::Any,
            default: None,
            validations: Vec::new(),
            span,
        };
        let mut default = None;
        for structure in &block.body {
            match structure {
                Structure::Attribute(attribute) => match attribute.key.as_str() {
                    "type" => match Type::from_expr(&attribute.value) {
                        Ok(kind) => declared.kind = kind,
                        Err(why) => self.mistake(
                            self.start_of(&attribute.value),
                            "Invalid type specification",
                            why,
                        ),
                    },
                    "default" => default = Some(&attribute.value),
                    "description" | "sensitive" => {}
                    other => {
                        let known = ["type", "default", "description", "sensitive"];
                        let hint = did_you_mean(other, known);
                        let detail =
                            format!("An argument named {other:?} is not expected here.{hint}");
                        self.mistake(attribute.key.span(), "Unsupported argument", detail);
                    }
                },
                Structure::Block(inner) if inner.ident.as_str() == "validation" => {
                    declared.validations.push(inner);
                }
                Structure::Block(inner) => {
                    let name = inner.ident.as_str();
                    let detail = format!("Blocks of type {name:?} are not expected here.");
                    self.mistake(inner.ident.span(), "Unsupported block type", detail);
                }
            }
        }
        if let Some(expr) = default {
            let value = self
                .converted(expr, &declared.kind, &Scope::default())
                .unwrap_or(Value::Unknown);
            declared.default = Some((value, self.start_of(expr)));
        }
        Some((label.as_str().to_string(), declared))
    }

    /// Every declared variable's value.
    fn resolve(
        &mut self,
        declared: &BTreeMap<String, Declared<'_>>,
        given: &Variables,
    ) -> BTreeMap<String, Value> {
        self.undeclared(declared, given);
        let mut values = BTreeMap::new();
        for (name, declaration) in declared {
            let (value, origin, span) = match self.given_value(name, declaration, given) {
                Some((value, origin)) => (value, origin, declaration.span.clone()),
                None => match &declaration.default {
                    Some((value, span)) => (value.clone(), "default", span.clone()),
                    None => {
                        self.unset.insert(name.clone());
                        values.insert(name.clone(), Value::Unknown);
                        continue;
                    }
                },
            };
            self.validate(name, &value, declaration, origin, span);
            values.insert(name.clone(), value);
        }
        values
    }

    /// The strongest value that the user gave, converted.
    fn given_value(
        &mut self,
        name: &str,
        declared: &Declared<'_>,
        given: &Variables,
    ) -> Option<(Value, &'static str)> {
        let flag = given.flags.iter().rev().find(|(n, _)| n == name);
        let file = given.files.iter().rev().find(|g| g.name == name);
        let (value, origin) = match (flag, file, given.env.get(name)) {
            (Some((_, text)), _, _) => (self.parse_text(name, text, declared), "-var"),
            (None, Some(given), _) => (given.value.clone(), "-var-file"),
            (None, None, Some(text)) => (self.parse_text(name, text, declared), "environment"),
            (None, None, None) => return None,
        };
        match declared.kind.convert(value) {
            Ok(value) => Some((value, origin)),
            Err(why) => {
                let detail = format!("The value given by {origin} for variable {name:?}: {why}.");
                self.mistake(declared.span.clone(), "Invalid value for variable", detail);
                Some((Value::Unknown, origin))
            }
        }
    }

    /// A value from a command line: the text itself, or an expression where the type needs one.
    fn parse_text(&mut self, name: &str, text: &str, declared: &Declared<'_>) -> Value {
        if declared.kind.takes_text() {
            return Value::text(text);
        }
        let source = Source::new(format!("<value for var.{name}>"), text);
        match hcl_edit::parser::parse_expr(text.trim()) {
            Ok(expr) => {
                let mut eval = Eval::new(&source, self.outside);
                let value = eval.value(&expr, &Scope::default());
                self.diags.append(&mut eval.diags);
                value
            }
            Err(error) => {
                let detail = format!("{text:?} is no expression: {}.", error.message());
                let place = source.whole();
                self.diags.push(Diagnostic::error(
                    place,
                    "Invalid value for variable",
                    detail,
                ));
                Value::Unknown
            }
        }
    }

    fn undeclared(&mut self, declared: &BTreeMap<String, Declared<'_>>, given: &Variables) {
        let known = || declared.keys().map(String::as_str);
        for (name, _) in given
            .flags
            .iter()
            .filter(|(n, _)| !declared.contains_key(n))
        {
            let detail = format!(
                "A {name:?} variable was passed in the command line but was not found in known \
                 variables. To declare variable {name:?}, add a variable block to the job \
                 file.{}",
                did_you_mean(name, known())
            );
            self.diags
                .push(Diagnostic::error(None, "Undefined -var variable", detail));
        }
        for line in given
            .files
            .iter()
            .filter(|g| !declared.contains_key(&g.name))
        {
            let name = &line.name;
            let detail = format!(
                "A {name:?} variable was set but was not found in known variables. To declare \
                 variable {name:?}, add a variable block to the job file.{}",
                did_you_mean(name, known())
            );
            let mut diag = Diagnostic::error(line.place.clone(), "Undefined variable", detail);
            if given.lenient {
                diag.severity = super::Severity::Warning;
            }
            self.diags.push(diag);
        }
    }

    /// Checks the variable's own rules.
    fn validate(
        &mut self,
        name: &str,
        value: &Value,
        declared: &Declared<'_>,
        origin: &str,
        span: Option<Range<usize>>,
    ) {
        if value.has_unknown() {
            return;
        }
        let mut scope = Scope::default();
        let only = BTreeMap::from([(name.to_string(), value.clone())]);
        scope.set("var", Value::Object(only));
        for rule in &declared.validations {
            let Some(condition) = rule.body.get_attribute("condition") else {
                let detail = "The argument \"condition\" is required, but no definition was found.";
                self.mistake(rule.ident.span(), "Missing required argument", detail);
                continue;
            };
            match self.converted(&condition.value, &Type::Bool, &scope) {
                Some(Value::Bool(false)) => {}
                _ => continue,
            }
            let message = rule
                .body
                .get_attribute("error_message")
                .and_then(|a| self.converted(&a.value, &Type::String, &scope))
                .and_then(|v| v.to_text())
                .unwrap_or_default();
            let rule_place = self.place(rule.ident.span());
            let detail =
                format!("{message}\n\nThis was checked by the validation rule at {rule_place}.");
            let summary = format!("Invalid value for {origin} variable");
            self.mistake(span.clone(), &summary, detail);
        }
    }

    /// Evaluates locals in the order in which they need each other.
    fn locals(&mut self, body: &Body, scope: &mut Scope<'static>) {
        let (mut found, mut waiting) = (Vec::new(), BTreeMap::new());
        for block in body.blocks().filter(|b| b.ident.as_str() == "locals") {
            for attribute in block.body.attributes() {
                let name = attribute.key.as_str();
                if waiting.insert(name, found.len()).is_some() {
                    let detail = format!("Local value {name:?} was already defined.");
                    self.mistake(attribute.key.span(), "Duplicate value in locals", detail);
                }
                let mut needs = Needs::default();
                needs.visit_expr(&attribute.value);
                found.push((name, &attribute.value, needs));
            }
        }
        scope.set("local", Value::Object(BTreeMap::new()));
        let order = in_order(&found, &waiting);
        for i in &order {
            let (name, expr, _) = &found[*i];
            let value = self.value(expr, scope);
            scope.set_in("local", name, value);
            waiting.remove(name);
        }
        // What is left needs each other in a circle; one mistake stands for it.
        let left: Vec<usize> = waiting.into_values().collect();
        if let Some(last) = left.iter().max() {
            let (name, expr, _) = &found[*last];
            let reported = self.diags.len();
            self.value(expr, scope);
            if self.diags.len() == reported {
                let detail = format!("Local value {name:?} refers to itself through others.");
                self.mistake(self.start_of(expr), "Self-referencing local value", detail);
            }
        }
        for i in left {
            scope.set_in("local", found[i].0, Value::Unknown);
        }
    }
}

/// The locals that can be evaluated, each behind those that it needs.
fn in_order(found: &[(&str, &Expression, Needs)], index: &BTreeMap<&str, usize>) -> Vec<usize> {
    let mut missing: Vec<usize> = Vec::with_capacity(found.len());
    let mut needed_by: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (i, (_, _, needs)) in found.iter().enumerate() {
        let known = needs.names.iter().filter_map(|n| index.get(n.as_str()));
        let mut count = 0;
        for need in known {
            needed_by.entry(*need).or_default().push(i);
            count += 1;
        }
        // Nothing can be behind all locals and be one itself.
        missing.push(if needs.all { usize::MAX } else { count });
    }
    let mut order: Vec<usize> = Vec::new();
    let ready = missing.iter().enumerate().filter(|(_, n)| **n == 0);
    let mut queue: std::collections::VecDeque<usize> = ready.map(|(i, _)| i).collect();
    while let Some(i) = queue.pop_front() {
        order.push(i);
        for waiting in needed_by.remove(&i).unwrap_or_default() {
            missing[waiting] -= 1;
            if missing[waiting] == 0 {
                queue.push_back(waiting);
            }
        }
    }
    order
}

/// The locals that an expression refers to.
#[derive(Default)]
struct Needs {
    names: BTreeSet<String>,
    /// Whether it uses `local` as a whole.
    all: bool,
}

impl Visit for Needs {
    fn visit_traversal(&mut self, node: &Traversal) {
        let is_local = node
            .expr
            .as_variable()
            .is_some_and(|v| v.as_str() == "local");
        match node.operators.first().map(|o| o.value()) {
            Some(TraversalOperator::GetAttr(name)) if is_local => {
                self.names.insert(name.as_str().to_string());
                for operator in &node.operators[1..] {
                    self.visit_traversal_operator(operator);
                }
            }
            _ => visit_traversal(self, node),
        }
    }

    fn visit_expr(&mut self, node: &Expression) {
        if node.as_variable().is_some_and(|v| v.as_str() == "local") {
            self.all = true;
        }
        visit_expr(self, node);
    }
}
