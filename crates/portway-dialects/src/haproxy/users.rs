//! The section `userlist`: users, their passwords and groups.

use super::sections::Section;
use super::{Line, Reader, Word};
use portway_model::diagnostic::{Code, Diagnostic};
use portway_model::draft::{UserDraft, UserlistDraft};
use portway_model::name::Name;
use portway_model::settings::Password;
use portway_model::span::Spanned;

/// `group NAME [users A,B]`, remembered until every user is known.
struct Group {
    name: Spanned<String>,
    users: Vec<Spanned<String>>,
}

/// Reads one section into the lists that expressions may name.
pub(crate) fn read(section: &Section, reader: &mut Reader<'_>) {
    let name = section.header.text(1);
    let span = section.header.span;
    let same = reader
        .userlists
        .iter()
        .find(|list| list.name.value.as_str() == name);
    if let Some(first) = same.map(|list| list.name.span) {
        let message = format!("there are two userlists `{name}`");
        reader.push(
            Diagnostic::error(Code::Duplicate, span, message).label(first, "the first is here"),
        );
        return;
    }
    let mut users: Vec<UserDraft> = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    for line in &section.lines {
        match line.text(0) {
            "user" => user(line, &mut users, reader),
            _ => group(line, &mut groups, reader),
        }
    }
    join(&mut users, &groups, reader);
    let known = groups.into_iter().map(|group| group.name.value).collect();
    reader.user_groups.insert(name.to_owned(), known);
    reader.userlists.push(UserlistDraft {
        name: Spanned::new(Name::from(name), span),
        users,
    });
}

/// Holds the groups that tests ask for against those of the lists, when all is read.
pub(crate) fn hold_groups(reader: &mut Reader<'_>) {
    for (list, group) in std::mem::take(&mut reader.asked_groups) {
        // A list that is not there is told of when the draft is compiled.
        let Some(known) = reader.user_groups.get(&list) else {
            continue;
        };
        if !known.contains(&group.value) {
            let message = format!(
                "invalid group '{}': userlist '{list}' has none of this name",
                group.value
            );
            let wrong = Diagnostic::error(Code::UnknownReference, group.span, message);
            let known = known.iter().map(String::as_str);
            let wrong = wrong.nearest(&group.value, known);
            reader.push(wrong);
        }
    }
}

/// `user NAME [password|insecure-password WORD] [groups A,B]`.
fn user(line: &Line, users: &mut Vec<UserDraft>, reader: &mut Reader<'_>) {
    let Some(name) = line.word(1) else {
        reader.error(Code::Missing, line.span, "`user` needs a name");
        return;
    };
    if let Some(first) = users.iter().find(|user| user.name.value == name.text) {
        let message = format!("there are two users `{}`", name.text);
        reader.push(
            Diagnostic::warning(Code::Duplicate, name.span, message)
                .label(first.name.span, "the first is here"),
        );
        return;
    }
    let mut password = None;
    let mut groups = Vec::new();
    let mut index = 2;
    while let Some(word) = line.word(index) {
        let Some(value) = line.word(index + 1) else {
            let message = format!("`{}` needs a value", word.text);
            reader.error(Code::Missing, word.span, message);
            return;
        };
        match word.as_str() {
            "password" => password = Some(value.spanned(Password::Crypt(value.text.clone()))),
            "insecure-password" => {
                password = Some(value.spanned(Password::Plain(value.text.clone())))
            }
            "groups" => groups = names(value),
            other => {
                let known = ["password", "insecure-password", "groups"];
                reader.push(crate::unknown_word(
                    word.span,
                    "word of `user`",
                    other,
                    known,
                ));
                return;
            }
        }
        index += 2;
    }
    let Some(password) = password else {
        // Such a user can never be authorized.
        let message = format!("user `{}` has no password and can never log in", name.text);
        reader.warn(Code::Missing, line.span, message);
        return;
    };
    users.push(UserDraft {
        name: name.spanned(name.text.clone()),
        password,
        groups,
    });
}

fn group(line: &Line, groups: &mut Vec<Group>, reader: &mut Reader<'_>) {
    let Some(name) = line.word(1) else {
        reader.error(Code::Missing, line.span, "`group` needs a name");
        return;
    };
    let allowed =
        |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':');
    if let Some(wrong) = name.as_str().chars().find(|letter| !allowed(letter)) {
        let message = format!("`{wrong}` may not stand in the name of a group");
        reader.error(Code::OutOfRange, name.span, message);
    }
    if let Some(extra) = line.word(4) {
        let message = format!("`group` takes no `{}` here", extra.text);
        reader.error(Code::Syntax, extra.span, message);
    }
    let users = match (line.text(2), line.word(3)) {
        ("", _) => Vec::new(),
        ("users", Some(list)) => names(list),
        _ => {
            reader.error(
                Code::Syntax,
                line.span,
                "`group NAME` is followed by `users` and a list of users",
            );
            return;
        }
    };
    groups.push(Group {
        name: name.spanned(name.text.clone()),
        users,
    });
}

/// Tells each user of the groups that name it, and holds names against each other.
fn join(users: &mut [UserDraft], groups: &[Group], reader: &mut Reader<'_>) {
    for user in users.iter() {
        for named in &user.groups {
            if !groups.iter().any(|group| group.name.value == named.value) {
                let message = format!("there is no group `{}` in this userlist", named.value);
                let known = groups.iter().map(|group| group.name.value.as_str());
                reader.push(
                    Diagnostic::error(Code::UnknownReference, named.span, message)
                        .nearest(&named.value, known),
                );
            }
        }
    }
    for group in groups {
        for named in &group.users {
            match users.iter_mut().find(|user| user.name.value == named.value) {
                Some(user) => {
                    if !user.groups.contains(&group.name) {
                        user.groups.push(group.name.clone());
                    }
                }
                None => {
                    let message = format!("there is no user `{}` in this userlist", named.value);
                    reader.error(Code::UnknownReference, named.span, message);
                }
            }
        }
    }
}

/// A list with commas.
fn names(word: &Word) -> Vec<Spanned<String>> {
    let parts = word.as_str().split(',').filter(|part| !part.is_empty());
    parts.map(|part| word.spanned(part.to_owned())).collect()
}
