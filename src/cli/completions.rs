//! `platform completions`: a script that completes verbs and flags in a shell, and the manual page.

use std::io;

use clap::builder::PossibleValue;
use clap::{Args, Command, CommandFactory, ValueEnum};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, CliError, Context, Exit};

/// Arguments of `completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell, or `man` for the manual page.
    #[arg(value_enum, value_name = "SHELL")]
    of: Of,
}

#[derive(Clone)]
enum Of {
    Shell(Shell),
    Man,
}

impl ValueEnum for Of {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Of; 6] = [
            Of::Shell(Shell::Bash),
            Of::Shell(Shell::Elvish),
            Of::Shell(Shell::Fish),
            Of::Shell(Shell::PowerShell),
            Of::Shell(Shell::Zsh),
            Of::Man,
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Shell(shell) => shell.to_possible_value(),
            Self::Man => Some(PossibleValue::new("man")),
        }
    }
}

pub(super) fn run(args: &CompletionsArgs, context: &Context) -> Result<Exit, CliError> {
    let text = match args.of {
        Of::Shell(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "platform", &mut script);
            script
        }
        Of::Man => manual()
            .map_err(|error| CliError::bug("the manual page cannot be written").because(error))?,
    };
    context.terminal.print(&String::from_utf8_lossy(&text))?;
    Ok(Exit::Done)
}

/// Returns one page with every verb.
fn manual() -> io::Result<Vec<u8>> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut page = Vec::new();
    let whole = Man::new(program.clone());
    whole.render_title(&mut page)?;
    whole.render_name_section(&mut page)?;
    whole.render_synopsis_section(&mut page)?;
    whole.render_description_section(&mut page)?;
    whole.render_options_section(&mut page)?;
    render_verbs(&program, &mut page)?;
    whole.render_version_section(&mut page)?;
    Ok(page)
}

fn render_verbs(program: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    for verb in program.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let mut section = Vec::new();
        let man = Man::new(verb.clone());
        man.render_synopsis_section(&mut section)?;
        man.render_description_section(&mut section)?;
        man.render_options_section(&mut section)?;
        let section = String::from_utf8_lossy(&section);
        let name = verb.get_bin_name().unwrap_or_else(|| verb.get_name());
        page.extend(format!(".SH \"{}\"\n", name.to_uppercase()).bytes());
        page.extend(section.replace(".SH ", ".SS ").bytes());
        if let Some(examples) = verb.get_after_help() {
            page.extend(format!(".nf\n{examples}\n.fi\n").bytes());
        }
        render_verbs(verb, page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manual_page_has_every_verb() {
        let page = String::from_utf8(manual().unwrap()).unwrap();
        assert!(page.contains(".TH platform 1"), "{page}");
        for section in ["PLATFORM APPLY", "PLATFORM HISTORY VERIFY", "PLATFORM DIFF"] {
            assert!(page.contains(&format!(".SH \"{section}\"")), "{section}");
        }
        assert!(page.contains("\\-\\-allow\\-deletes"), "{page}");
    }
}
