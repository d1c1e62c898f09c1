//! `fmt`

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::cli::context::Ctx;
use crate::cli::fail::{Failure, OK, Outcome};
use crate::cli::flags::{Args, Flag, switch};
use crate::cli::registry::{Command, command};
use crate::jobspec::{Diagnostic, Source, check, layout};

static FLAGS: &[Flag] = &[
    switch(
        "check",
        "Changes nothing; exits with 1 if a file is not laid out as it should be.",
    ),
    switch(
        "list",
        "Prints the names of the files that change; on unless set to false.",
    ),
    switch(
        "write",
        "Writes the files; on unless set to false. Without -list and -write the result is printed.",
    ),
    switch("recursive", "Goes into folders below those given."),
];

/// The commands of this family.
pub static COMMANDS: &[Command] = &[Command {
    about: "Lays out files in HCL in the usual way. Without a path the files of the current \
            folder that end in .hcl or .nomad; - is standard input, and its result is printed.",
    flags: &[FLAGS],
    remote: false,
    ..command(
        "fmt",
        "[options] [<path>...]",
        "Lay out job and configuration files",
        fmt,
    )
}];

/// What to do with what changes.
struct Wish {
    list: bool,
    write: bool,
}

fn fmt(ctx: &mut Ctx, args: &Args) -> Outcome {
    let check = args.on("check");
    let wish = Wish {
        list: args.switch_or("list", true),
        write: args.switch_or("write", true) && !check,
    };
    if args.rest.iter().any(|path| path == "-") {
        if args.rest.len() > 1 {
            return Err(Failure::new("- stands alone: no other path can be given").usage());
        }
        let mut text = String::new();
        ctx.input
            .read_to_string(&mut text)
            .map_err(|e| Failure::new(format!("Error reading from standard input: {e}")))?;
        let wish = Wish {
            list: false,
            write: false,
        };
        let changed = one(ctx, &wish, Source::new("<stdin>", text), None)?;
        return Ok(u8::from(check && changed));
    }
    let here = [".".to_owned()];
    let given = if args.rest.is_empty() {
        &here[..]
    } else {
        &args.rest
    };
    let mut changed = false;
    for path in files(given, args.on("recursive"))? {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Failure::new(format!("Error reading {name}: {e}")))?;
        changed |= one(ctx, &wish, Source::new(name, text), Some(&path))?;
    }
    Ok(if check && changed { 1 } else { OK })
}

/// Lays one text out; tells whether that changes it.
fn one(ctx: &mut Ctx, wish: &Wish, source: Source, path: Option<&Path>) -> Result<bool, Failure> {
    let mistakes = check(&source);
    if !mistakes.is_empty() {
        let said: Vec<String> = mistakes.iter().map(|m| explain(&source, m)).collect();
        return Err(Failure::new(said.join("\n")));
    }
    let laid_out = layout::format(&source.text);
    let changed = laid_out != source.text;
    if changed && wish.list {
        ctx.say(&source.name);
    }
    if let Some(path) = path.filter(|_| changed && wish.write) {
        std::fs::write(path, &laid_out)
            .map_err(|e| Failure::new(format!("Error writing {}: {e}", source.name)))?;
    }
    if !wish.list && !wish.write {
        ctx.out.write(laid_out.as_bytes());
    }
    Ok(changed)
}

/// A mistake with the line it is on.
fn explain(source: &Source, mistake: &Diagnostic) -> String {
    let (summary, detail) = (&mistake.summary, &mistake.detail);
    let start = mistake.place.as_ref().and_then(|p| p.range).map(|r| r.0);
    let line = start.map_or(String::new(), |at| {
        let text = source.text.lines().nth(at.line - 1).unwrap_or_default();
        let (name, number) = (&source.name, at.line);
        format!("  on {name} line {number}:\n{number:4}: {text}\n\n")
    });
    format!("Error: {summary}\n\n{line}{detail}\n")
}

/// The files that the paths mean, in order; all paths that are nowhere are named at once.
fn files(given: &[String], recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for path in given {
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => folder(Path::new(path), recursive, &mut found)?,
            Ok(_) => found.push(PathBuf::from(path)),
            Err(_) => missing.push(format!("\t* No file or directory at {path}\n")),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let count = match missing.len() {
        1 => "1 error occurred".to_owned(),
        many => format!("{many} errors occurred"),
    };
    Err(Failure::new(format!("{count}:\n{}\n", missing.concat())).usage())
}

fn folder(path: &Path, recursive: bool, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let broken = |e: std::io::Error| {
        let name = path.display();
        Failure::new(format!("Error reading folder {name}: {e}"))
    };
    let entries = std::fs::read_dir(path).map_err(broken)?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let inner = entry.path();
        let inner = inner
            .strip_prefix(".")
            .map(Path::to_path_buf)
            .unwrap_or(inner);
        let kind = entry.file_type().map_err(broken)?;
        let ours = |ending: &std::ffi::OsStr| ending == "hcl" || ending == "nomad";
        if kind.is_dir() && recursive {
            folder(&inner, recursive, found)?;
        } else if kind.is_file() && inner.extension().is_some_and(ours) {
            found.push(inner);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_shown_with_its_line() {
        let source = Source::new(
            "x.hcl",
            "job \"x\" {\n  group \"g\" {\n    count = = 1\n  }\n}\n",
        );
        let said: Vec<String> = check(&source).iter().map(|m| explain(&source, m)).collect();
        assert_eq!(
            said,
            [
                "Error: Invalid expression\n\n  on x.hcl line 3:\n   3:     count = = 1\n\n\
              Expected the start of an expression, but found an invalid expression token.\n"
            ]
        );
    }

    #[test]
    fn folders_give_their_files_in_order_and_missing_paths_are_named() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        std::fs::create_dir(path("in")).unwrap();
        for name in ["b.nomad", "a.nomad.hcl", "other.txt", "in/c.hcl"] {
            std::fs::write(path(name), "").unwrap();
        }
        let given = [root.path().display().to_string()];
        let names = |found: Vec<PathBuf>| -> Vec<String> {
            let short = |p: &PathBuf| p.strip_prefix(root.path()).unwrap().display().to_string();
            found.iter().map(short).collect()
        };
        assert_eq!(
            names(files(&given, false).unwrap()),
            ["a.nomad.hcl", "b.nomad"]
        );
        assert_eq!(
            names(files(&given, true).unwrap()),
            ["a.nomad.hcl", "b.nomad", "in/c.hcl"]
        );
        let wrong = files(&["nofile.hcl".to_owned()], false).unwrap_err();
        assert_eq!(
            wrong.message,
            "1 error occurred:\n\t* No file or directory at nofile.hcl\n\n"
        );
    }
}
