//! The commands by name, their help texts, and the run of one.

use super::context::Ctx;
use super::fail::{Failure, Outcome};
use super::flags::{Args, Flag, FlagError, Kind};
use super::settings;

/// The most words of a command's name: `operator gossip keyring list`.
const NAME_WORDS_MAX: usize = 4;

/// The exit code for a command that does not exist.
const UNKNOWN: u8 = 127;

/// One command.
pub struct Command {
    /// Its words, such as `job run`.
    pub name: &'static str,
    /// What follows them.
    pub usage: &'static str,
    /// One line for the list of commands.
    pub summary: &'static str,
    /// What it does, for its help text.
    pub about: &'static str,
    /// Its flags, in groups.
    pub flags: &'static [&'static [Flag]],
    /// Whether it asks an agent, and so takes the general flags.
    pub remote: bool,
    /// The exit code of wrong flags.
    pub bad_usage: u8,
    pub run: fn(&mut Ctx, &Args) -> Outcome,
    /// Takes the words as they are, instead of `run`; returns the exit code.
    pub raw: Option<fn(&[String]) -> u8>,
}

/// A command with the usual settings; fields are changed with struct update.
pub const fn command(
    name: &'static str,
    usage: &'static str,
    summary: &'static str,
    run: fn(&mut Ctx, &Args) -> Outcome,
) -> Command {
    Command {
        name,
        usage,
        summary,
        about: "",
        flags: &[],
        remote: true,
        bad_usage: 1,
        run,
        raw: None,
    }
}

/// A set of commands below one word.
pub struct Group {
    pub name: &'static str,
    pub summary: &'static str,
}

/// All commands, groups and other names.
pub struct Registry {
    pub commands: Vec<&'static Command>,
    pub groups: &'static [Group],
    /// Another name, and the command meant.
    pub aliases: &'static [(&'static str, &'static str)],
    /// Nomad's commands that are not built yet.
    pub missing: &'static [&'static str],
    /// The ones that the list of commands names first.
    pub common: &'static [&'static str],
}

impl Registry {
    /// Runs what the words say.
    pub fn run(&self, ctx: &mut Ctx, words: &[String]) -> u8 {
        let Some(first) = words.first() else {
            ctx.say(self.overview());
            return UNKNOWN;
        };
        if matches!(first.as_str(), "-h" | "-help" | "--help" | "help") {
            ctx.say(self.overview());
            return super::fail::OK;
        }
        let version = ["-v", "-version", "--version"];
        if version.contains(&first.as_str()) {
            return self.run(ctx, &["version".to_owned()]);
        }
        match self.find(words) {
            Some((command, used)) => self.one(ctx, command, &words[used..]),
            None => self.unknown(ctx, words),
        }
    }

    /// The command with the longest name that the words begin with.
    pub(super) fn find(&self, words: &[String]) -> Option<(&'static Command, usize)> {
        for used in (1..=words.len().min(NAME_WORDS_MAX)).rev() {
            let name = words[..used].join(" ");
            let name = self.alias(&name);
            if let Some(command) = self.commands.iter().find(|c| c.name == name) {
                return Some((command, used));
            }
        }
        None
    }

    fn alias<'a>(&self, name: &'a str) -> &'a str {
        let found = self.aliases.iter().find(|(alias, _)| *alias == name);
        found.map_or(name, |(_, meant)| meant)
    }

    fn one(&self, ctx: &mut Ctx, command: &'static Command, words: &[String]) -> u8 {
        let help_asked = |w: &String| matches!(w.as_str(), "-h" | "-help" | "--help");
        if let Some(raw) = command.raw.filter(|_| !words.iter().any(help_asked)) {
            return raw(words);
        }
        let mut allowed: Vec<&'static [Flag]> = command.flags.to_vec();
        if command.remote {
            allowed.push(settings::GENERAL);
        }
        let outcome = match Args::parse(&allowed, words) {
            Ok(args) => (command.run)(ctx, &args),
            Err(FlagError::Help) => {
                ctx.say(help(command));
                return super::fail::OK;
            }
            Err(error) => {
                ctx.err.line(error.to_string());
                ctx.say(help(command));
                return command.bad_usage;
            }
        };
        outcome.unwrap_or_else(|failure| report(ctx, command, &failure))
    }

    fn unknown(&self, ctx: &mut Ctx, words: &[String]) -> u8 {
        let line = words.join(" ");
        let covers = |name: &&&str| line == **name || line.starts_with(&format!("{name} "));
        if let Some(name) = self.missing.iter().find(covers) {
            ctx.err
                .line(format!("`tumen {name}` is not part of Tumen yet."));
            return 1;
        }
        let group = (1..=words.len().min(2)).rev().find_map(|n| {
            let name = words[..n].join(" ");
            self.groups.iter().find(|g| g.name == name)
        });
        match group {
            Some(group) => {
                ctx.say(self.group_help(group));
                let asked = words
                    .iter()
                    .any(|w| matches!(w.as_str(), "-h" | "-help" | "--help"));
                u8::from(!asked)
            }
            None => {
                ctx.say(self.overview());
                UNKNOWN
            }
        }
    }

    fn overview(&self) -> String {
        let mut text =
            String::from("Usage: tumen [-version] [-help] <command> [args]\n\nCommon commands:\n");
        let rows = self.first_words();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let line = |(name, summary): &(&str, &str)| format!("    {name:<width$}  {summary}\n");
        let common = |row: &&(&str, &str)| self.common.contains(&row.0);
        for wanted in self.common {
            text.extend(rows.iter().filter(|r| r.0 == *wanted).map(line));
        }
        text.push_str("\nOther commands:\n");
        text.extend(rows.iter().filter(|r| !common(r)).map(line));
        text.trim_end().to_owned()
    }

    fn first_words(&self) -> Vec<(&'static str, &'static str)> {
        let groups = self.groups.iter().filter(|g| !g.name.contains(' '));
        let mut rows: Vec<_> = groups.map(|g| (g.name, g.summary)).collect();
        let single = self.commands.iter().filter(|c| !c.name.contains(' '));
        rows.extend(single.map(|c| (c.name, c.summary)));
        let short = self
            .aliases
            .iter()
            .filter(|(alias, _)| !alias.contains([' ', '-']));
        rows.extend(short.filter_map(|(alias, meant)| {
            let command = self.commands.iter().find(|c| c.name == *meant)?;
            Some((*alias, command.summary))
        }));
        rows.sort_unstable();
        rows.dedup_by_key(|row| row.0);
        rows
    }

    fn group_help(&self, group: &Group) -> String {
        let prefix = format!("{} ", group.name);
        let below: Vec<_> = (self.commands.iter())
            .filter_map(|c| Some((c.name.strip_prefix(&prefix)?, c.summary)))
            .collect();
        let width = below.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = format!(
            "Usage: tumen {} <subcommand> [options] [args]\n\n  {}\n\nSubcommands:\n",
            group.name, group.summary
        );
        for (name, summary) in below {
            text.push_str(&format!("    {name:<width$}  {summary}\n"));
        }
        text.trim_end().to_owned()
    }
}

/// Prints why a command failed; returns its exit code.
fn report(ctx: &mut Ctx, command: &Command, failure: &Failure) -> u8 {
    if !failure.message.is_empty() {
        ctx.err.line(&failure.message);
    }
    if failure.usage {
        let name = command.name;
        ctx.err
            .line(format!("For additional help try 'tumen {name} -help'"));
    }
    for line in &failure.advice {
        ctx.err.line(line);
    }
    failure.code
}

/// A command's help text.
pub fn help(command: &Command) -> String {
    let about = if command.about.is_empty() {
        command.summary
    } else {
        command.about
    };
    let mut text = format!("Usage: tumen {} {}\n\n", command.name, command.usage);
    for paragraph in about.split("\n\n") {
        text.push_str(&wrap(paragraph, 2));
        text.push('\n');
    }
    if command.remote {
        text.push_str("General Options:\n\n");
        text.push_str(&flag_help(settings::GENERAL));
    }
    let own: String = command.flags.iter().map(|f| flag_help(f)).collect();
    if !own.is_empty() {
        text.push_str(&format!("{} Options:\n\n{own}", title(command.name)));
    }
    text.trim_end().to_owned()
}

fn flag_help(flags: &[Flag]) -> String {
    let one = |flag: &Flag| {
        let head = match flag.kind {
            Kind::Switch => format!("  -{}", flag.name),
            Kind::Value | Kind::List => format!("  -{}={}", flag.name, flag.hint),
        };
        format!("{head}\n{}\n", wrap(flag.help, 4))
    };
    flags.iter().map(one).collect()
}

fn wrap(text: &str, indent: usize) -> String {
    const WIDTH: usize = 80;
    let pad = " ".repeat(indent);
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.len() + 1 + word.len() > WIDTH {
            out.push_str(&format!("{pad}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push_str(&format!("{pad}{line}\n"));
    out
}

fn title(name: &str) -> String {
    let word = |w: &str| {
        let mut chars = w.chars();
        let first = chars.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(chars).collect::<String>()
    };
    name.split(' ').map(word).collect::<Vec<_>>().join(" ")
}
