//! Where a source can be mutated, and to what.
//!
//! A *place* is a range of the text with the mutations that are possible there. Constants, constant functions, types,
//! patterns, attributes, the insides of macros and everything under `#[cfg(test)]` have none.

use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, Lit, Stmt, UnOp};

use crate::returns::returned;

/// How a place is rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An expression that is replaced by another.
    Choice,
    /// A condition that is replaced by `true` or `false`.
    Condition,
    /// A statement that is left out.
    Statement,
    /// The start of a function's body, which returns at once.
    Entry,
    /// An iterator that loses its `.rev()`; the range is that of the iterator.
    Forward(Range<usize>),
}

/// What a place may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mutation {
    /// What is done, in a word or two.
    pub(crate) kind: &'static str,
    /// The text that is compiled.
    pub(crate) code: String,
    /// The text that is shown in place of the original.
    pub(crate) shown: String,
}

/// A range of a source and its mutations.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) range: Range<usize>,
    pub(crate) form: Form,
    /// The function it is in, with its type.
    pub(crate) function: String,
    pub(crate) mutations: Vec<Mutation>,
}

/// All places of a source, outer ones before those inside them.
pub(crate) fn find(source: &str) -> Result<Vec<Place>, syn::Error> {
    let file = syn::parse_file(source)?;
    let mut finder = Finder {
        source,
        scope: Vec::new(),
        places: Vec::new(),
    };
    finder.visit_file(&file);
    Ok(finder.places)
}

struct Finder<'a> {
    source: &'a str,
    scope: Vec<String>,
    places: Vec<Place>,
}

fn range(span: Span) -> Range<usize> {
    span.byte_range()
}

fn same(kind: &'static str, code: impl Into<String>) -> Mutation {
    let code = code.into();
    Mutation {
        kind,
        shown: code.clone(),
        code,
    }
}

/// Whether the attributes keep an item out of an ordinary build.
fn only_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|a| {
        a.path().is_ident("test")
            || a.path().is_ident("cfg")
                && a.meta
                    .require_list()
                    .is_ok_and(|list| list.tokens.to_string().contains("test"))
    })
}

/// Whether an expression binds names by `let`, so that it cannot move into a block.
fn binds(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(e) => binds(&e.left) || binds(&e.right),
        Expr::Paren(e) => binds(&e.expr),
        Expr::Unary(e) => binds(&e.expr),
        _ => false,
    }
}

/// The operator that takes another's place.
fn other(op: &BinOp) -> Option<&'static str> {
    Some(match op {
        BinOp::Lt(_) => "<=",
        BinOp::Le(_) => "<",
        BinOp::Gt(_) => ">=",
        BinOp::Ge(_) => ">",
        BinOp::Eq(_) => "!=",
        BinOp::Ne(_) => "==",
        BinOp::And(_) => "||",
        BinOp::Or(_) => "&&",
        BinOp::Add(_) => "-",
        BinOp::Sub(_) => "+",
        BinOp::Mul(_) => "+",
        BinOp::Div(_) => "*",
        BinOp::Rem(_) => "/",
        BinOp::Shl(_) => ">>",
        BinOp::Shr(_) => "<<",
        BinOp::BitAnd(_) => "|",
        BinOp::BitOr(_) => "&",
        BinOp::BitXor(_) => "&",
        BinOp::AddAssign(_) => "-=",
        BinOp::SubAssign(_) => "+=",
        BinOp::MulAssign(_) => "+=",
        BinOp::DivAssign(_) => "*=",
        BinOp::BitAndAssign(_) => "|=",
        BinOp::BitOrAssign(_) => "&=",
        _ => return None,
    })
}

/// The method that takes another's place.
fn other_method(name: &str) -> Option<&'static str> {
    Some(match name {
        "min" => "max",
        "max" => "min",
        "min_by_key" => "max_by_key",
        "max_by_key" => "min_by_key",
        "any" => "all",
        "all" => "any",
        "first" => "last",
        "last" => "first",
        "is_some" => "is_none",
        "is_none" => "is_some",
        "is_ok" => "is_err",
        "is_err" => "is_ok",
        "is_some_and" => "is_none_or",
        "is_none_or" => "is_some_and",
        "div_ceil" => "div_euclid",
        "leading_zeros" => "trailing_zeros",
        "saturating_add" | "saturating_sub" => "wrapping_mul",
        "saturating_mul" => "wrapping_add",
        "wrapping_add" => "wrapping_sub",
        "wrapping_sub" => "wrapping_add",
        "checked_add" => "checked_sub",
        "checked_sub" => "checked_add",
        "checked_mul" => "checked_add",
        "checked_div" => "checked_mul",
        _ => return None,
    })
}

impl Finder<'_> {
    fn text(&self, span: Span) -> &str {
        &self.source[range(span)]
    }

    fn add(&mut self, range: Range<usize>, form: Form, mutations: Vec<Mutation>) {
        if !mutations.is_empty() && !self.scope.is_empty() {
            self.places.push(Place {
                range,
                form,
                function: self.scope.join("::"),
                mutations,
            });
        }
    }

    fn condition(&mut self, cond: &Expr, values: &[&'static str]) {
        if !binds(cond) && !matches!(cond, Expr::Lit(_)) {
            let mutations = values.iter().map(|v| same("condition", *v)).collect();
            self.add(range(cond.span()), Form::Condition, mutations);
        }
    }

    fn scoped(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        visit(self);
        self.scope.pop();
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        if signature.constness.is_some() {
            return;
        }
        self.scoped(signature.ident.to_string(), |this| {
            let start = range(block.brace_token.span.open()).end;
            let mutations = returned(&signature.output)
                .into_iter()
                .map(|value| same("return", format!("return {value};")))
                .collect();
            this.add(start..start, Form::Entry, mutations);
            this.visit_block(block);
        });
    }

    fn binary(&mut self, e: &syn::ExprBinary) {
        let whole = range(e.span());
        let Some(op) = other(&e.op).filter(|_| !binds(&e.left) && !binds(&e.right)) else {
            return;
        };
        let (left, right) = (self.text(e.left.span()), self.text(e.right.span()));
        // An assignment's left side is a place, which parentheses do not change.
        let code = format!("({left}) {op} ({right})");
        let shown = format!("{left} {op} {right}");
        let kind = "operator";
        self.add(whole, Form::Choice, vec![Mutation { kind, code, shown }]);
    }

    fn method(&mut self, e: &syn::ExprMethodCall) {
        let name = e.method.to_string();
        let whole = range(e.span());
        if let Some(new) = other_method(&name) {
            let at = range(e.method.span());
            let before = &self.source[whole.start..at.start];
            let after = &self.source[at.end..whole.end];
            let mutation = same("method", format!("{before}{new}{after}"));
            self.add(whole.clone(), Form::Choice, vec![mutation]);
        }
        match (name.as_str(), e.args.first()) {
            ("is_empty" | "contains" | "contains_key", _) => {
                let code = format!("!{}", &self.source[whole.clone()]);
                self.add(whole, Form::Choice, vec![same("negated", code)]);
            }
            ("rev", None) => {
                let inner = range(e.receiver.span());
                let mutation = same("iterator", &self.source[inner.clone()]);
                self.add(whole, Form::Forward(inner), vec![mutation]);
            }
            ("skip", Some(n)) => {
                self.add(range(n.span()), Form::Choice, vec![same("iterator", "0")]);
            }
            ("take", Some(n)) => {
                let all = same("iterator", "usize::MAX");
                self.add(range(n.span()), Form::Choice, vec![all]);
            }
            ("filter" | "find" | "position" | "take_while" | "retain", Some(Expr::Closure(c))) => {
                self.condition(&c.body, &["true"]);
            }
            ("unwrap_or", Some(_)) | (_, _) => {}
        }
    }

    fn literal(&mut self, lit: &Lit) {
        let whole = range(lit.span());
        let mutations = match lit {
            Lit::Bool(b) => vec![same("literal", (!b.value).to_string())],
            Lit::Int(n) => {
                let Ok(value) = n.base10_parse::<u128>() else {
                    return;
                };
                let near = [value.checked_add(1), value.checked_sub(1)];
                let near = near.into_iter().flatten();
                near.map(|v| same("literal", format!("{v}{}", n.suffix())))
                    .collect()
            }
            _ => return,
        };
        self.add(whole, Form::Choice, mutations);
    }

    /// The last value of a range, one further or one less.
    fn end(&mut self, e: &syn::ExprRange) {
        let Some(end) = &e.end else { return };
        if matches!(**end, Expr::Lit(_)) {
            return;
        }
        let op = match e.limits {
            syn::RangeLimits::HalfOpen(_) => "+",
            syn::RangeLimits::Closed(_) => "-",
        };
        let text = self.text(end.span());
        let (code, shown) = (format!("({text}) {op} 1"), format!("{text} {op} 1"));
        let kind = "range";
        let mutation = Mutation { kind, code, shown };
        self.add(range(end.span()), Form::Choice, vec![mutation]);
    }
}

fn last_name(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => path.path.segments.last().map(|s| s.ident.to_string()),
        _ => None,
    }
    .unwrap_or_else(|| "impl".to_owned())
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !only_for_tests(&item.attrs) {
            self.scoped(item.ident.to_string(), |this| {
                visit::visit_item_mod(this, item);
            });
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if !only_for_tests(&item.attrs) {
            self.scoped(last_name(&item.self_ty), |this| {
                visit::visit_item_impl(this, item);
            });
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !only_for_tests(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !only_for_tests(&item.attrs) {
            self.function(&item.sig, &item.block);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_trait_item_const(&mut self, _: &'ast syn::TraitItemConst) {}
    fn visit_type(&mut self, _: &'ast syn::Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}
    fn visit_macro(&mut self, _: &'ast syn::Macro) {}
    fn visit_generic_argument(&mut self, _: &'ast syn::GenericArgument) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}

    fn visit_expr_repeat(&mut self, e: &'ast syn::ExprRepeat) {
        self.visit_expr(&e.expr);
    }

    fn visit_stmt(&mut self, stmt: &'ast Stmt) {
        if let Stmt::Expr(e, Some(end)) = stmt {
            let deletes = match e {
                Expr::MethodCall(_) | Expr::Call(_) | Expr::Assign(_) | Expr::Try(_) => true,
                Expr::Continue(_) => true,
                // Compound assignments are the only operators that stand alone.
                Expr::Binary(_) => true,
                _ => false,
            };
            if deletes {
                let whole = range(e.span()).start..range(end.span()).end;
                self.add(whole, Form::Statement, vec![same("statement", "")]);
            }
        }
        visit::visit_stmt(self, stmt);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if let Some((_, guard)) = &arm.guard {
            self.condition(guard, &["true", "false"]);
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::If(e) => self.condition(&e.cond, &["true", "false"]),
            Expr::While(e) => self.condition(&e.cond, &["false"]),
            Expr::Binary(e) => self.binary(e),
            Expr::MethodCall(e) => self.method(e),
            Expr::Lit(e) => self.literal(&e.lit),
            Expr::Range(e) => self.end(e),
            Expr::Unary(e) if matches!(e.op, UnOp::Not(_) | UnOp::Neg(_)) => {
                let text = self.text(e.expr.span()).to_owned();
                let whole = range(e.span());
                self.add(whole, Form::Choice, vec![same("sign", text)]);
            }
            Expr::Macro(e) if e.mac.path.is_ident("matches") => {
                let code = format!("!{}", self.text(e.span()));
                self.add(range(e.span()), Form::Choice, vec![same("negated", code)]);
            }
            _ => {}
        }
        visit::visit_expr(self, expr);
    }
}
