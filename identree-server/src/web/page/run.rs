//! The words for what sudo's approval plugin states: facts and warnings.

use identree_core::challenge::{Flag, Label, Summary};

use crate::web::text::{Text, fill};

/// Whether the question binds what sudo will run, not what was typed.
pub(super) fn is_bound(summary: &Summary) -> bool {
    summary.details.iter().any(|detail| detail.label == Label::Mode)
}

/// The word for a fact, if it is one of these.
pub(super) const fn label(label: &Label, text: &Text) -> Option<&'static str> {
    Some(match label {
        Label::Mode => text.mode,
        Label::CalledAs => text.called_as,
        Label::StartsIn => text.starts_in,
        Label::RootDirectory => text.root_directory,
        Label::Umask => text.umask,
        Label::Editor => text.editor,
        Label::File => text.file,
        Label::Folders => text.folders,
        Label::Environment => text.environment,
        Label::Setting => text.setting,
        _ => return None,
    })
}

/// The sentence for a warning. One that this page has no words for is still shown.
pub(super) fn caution(flag: Flag, value: &str, text: &Text) -> String {
    let form = match flag {
        Flag::Writable => text.flag_writable,
        Flag::InlineCode => text.flag_inline_code,
        Flag::Shell => text.flag_shell,
        Flag::ShellEscape => text.flag_shell_escape,
        Flag::Script => text.flag_script,
        Flag::RelativeScript => text.flag_relative_script,
        Flag::Environment => text.flag_environment,
        Flag::Edit => text.flag_edit,
        Flag::ChangedRoot => text.flag_root,
        _ => return value.to_owned(),
    };
    fill(form, &[("what", value)])
}
