//! A source file as the rules read it: parsed by `syn`, without comments, and with or without its tests.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, ImplItem, Item, UseTree};

/// The words and signs of a file, tests included. Texts, characters, numbers and comments are left out.
pub fn tokens(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    flatten(text.parse().expect("a source that can be read as tokens"), &mut out);
    out
}

/// The same for syntax that was parsed.
pub fn tokens_of(syntax: &impl ToTokens) -> Vec<String> {
    let mut out = Vec::new();
    flatten(syntax.to_token_stream(), &mut out);
    out
}

/// The file without the items that only tests see.
pub fn without_tests(text: &str) -> syn::File {
    let mut file = syn::parse_file(text).expect("a source that can be parsed");
    remove_tests(&mut file.items);
    file
}

fn remove_tests(items: &mut Vec<Item>) {
    items.retain(|item| !attributes(item).iter().any(is_test));
    for item in items {
        match item {
            Item::Mod(module) => {
                if let Some((_, items)) = &mut module.content {
                    remove_tests(items);
                }
            }
            Item::Impl(block) => block.items.retain(|item| match item {
                ImplItem::Fn(function) => !function.attrs.iter().any(is_test),
                ImplItem::Const(constant) => !constant.attrs.iter().any(is_test),
                _ => true,
            }),
            _ => {}
        }
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") && tokens_of(attribute).iter().any(|word| word == "test")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(of) => &of.attrs,
        Item::Enum(of) => &of.attrs,
        Item::Fn(of) => &of.attrs,
        Item::Impl(of) => &of.attrs,
        Item::Macro(of) => &of.attrs,
        Item::Mod(of) => &of.attrs,
        Item::Static(of) => &of.attrs,
        Item::Struct(of) => &of.attrs,
        Item::Trait(of) => &of.attrs,
        Item::Type(of) => &of.attrs,
        Item::Use(of) => &of.attrs,
        _ => &[],
    }
}

fn flatten(stream: TokenStream, out: &mut Vec<String>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Ident(word) => out.push(word.to_string()),
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                out.push(open.to_owned());
                flatten(group.stream(), out);
                out.push(close.to_owned());
            }
            // A lifetime is an apostrophe and a word.
            TokenTree::Punct(sign) if sign.as_char() == '\'' => drop(trees.next()),
            TokenTree::Punct(sign) => {
                let next = trees.peek();
                let double = sign.as_char() == ':'
                    && sign.spacing() == Spacing::Joint
                    && matches!(next, Some(TokenTree::Punct(next)) if next.as_char() == ':');
                if double {
                    trees.next();
                    out.push("::".to_owned());
                } else {
                    out.push(sign.to_string());
                }
            }
            TokenTree::Literal(_) => {}
        }
    }
}

/// Every path that the code names, those of `use` written out. A call of a method `now` is the path `.now(`.
pub fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            at = tree(tokens, at + 1, &[], &mut found);
        } else if is_word(&tokens[at]) {
            let mut path = vec![tokens[at].clone()];
            if tokens[at] == "now"
                && at > 0
                && tokens[at - 1] == "."
                && tokens.get(at + 1).is_some_and(|t| t == "(")
            {
                path = vec![".now(".to_owned()];
            }
            at += 1;
            while at + 1 < tokens.len() && tokens[at] == "::" && is_word(&tokens[at + 1]) {
                path.push(tokens[at + 1].clone());
                at += 2;
            }
            found.push(path);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one tree of a `use`; returns where the tree ends.
fn tree(tokens: &[String], mut at: usize, prefix: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    while at < tokens.len() {
        match tokens[at].as_str() {
            "::" => at += 1,
            "{" => {
                at += 1;
                while at < tokens.len() && tokens[at] != "}" {
                    at = tree(tokens, at, &path, found);
                    if tokens.get(at).is_some_and(|t| t == ",") {
                        at += 1;
                    }
                }
                return at + 1;
            }
            "as" => at += 2,
            "self" if !path.is_empty() => at += 1,
            word if is_word(word) => {
                path.push(word.to_owned());
                at += 1;
            }
            "*" => at += 1,
            _ => break,
        }
    }
    found.push(path);
    at
}

fn is_word(token: &str) -> bool {
    token.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// A name that a `use` brings in, and the path that the name stands for. A glob has no name.
pub fn imports(tree: &UseTree, prefix: &[String], found: &mut Vec<(Option<String>, Vec<String>)>) {
    let with = |word: String| [prefix, &[word]].concat();
    match tree {
        UseTree::Path(path) => imports(&path.tree, &with(path.ident.to_string()), found),
        UseTree::Name(name) if name.ident == "self" => found.push((prefix.last().cloned(), prefix.to_vec())),
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            found.push((Some(name.clone()), with(name)));
        }
        UseTree::Rename(rename) if rename.ident == "self" => {
            found.push((Some(rename.rename.to_string()), prefix.to_vec()));
        }
        UseTree::Rename(rename) => {
            found.push((Some(rename.rename.to_string()), with(rename.ident.to_string())));
        }
        UseTree::Glob(_) => found.push((None, prefix.to_vec())),
        UseTree::Group(group) => group.items.iter().for_each(|tree| imports(tree, prefix, found)),
    }
}
