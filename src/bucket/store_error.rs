//! The errors of the crate `object_store` as errors of ours: its texts quote whole documents in XML.

use std::error::Error;

use super::url::Service;
use super::{BucketError, BucketErrorKind};

/// The access to an object that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// An object is read.
    Read,
    /// An object is written.
    Write,
    /// The names of the objects are listed.
    List,
    /// An object is deleted.
    Delete,
}

impl Access {
    /// Returns the verb, as a part of a sentence about an object.
    pub(super) fn refused(self) -> &'static str {
        match self {
            Access::Read => "cannot be read",
            Access::Write => "cannot be written",
            Access::List => "cannot be listed",
            Access::Delete => "cannot be deleted",
        }
    }

    /// Returns the name of the permission that a service asks for.
    pub(super) fn permission(self, service: Service) -> &'static str {
        match (service, self) {
            (Service::S3, Access::Read) => "s3:GetObject",
            (Service::S3, Access::Write) => "s3:PutObject",
            (Service::S3, Access::List) => "s3:ListBucket",
            (Service::S3, Access::Delete) => "s3:DeleteObject",
            (Service::Google, Access::Read) => "storage.objects.get",
            (Service::Google, Access::Write) => "storage.objects.create",
            (Service::Google, Access::List) => "storage.objects.list",
            (Service::Google, Access::Delete) => "storage.objects.delete",
            (Service::Azure, _) => "the role Storage Blob Data Contributor",
        }
    }
}

/// The longest text that is quoted of a store, in characters.
const QUOTED: usize = 300;

/// Makes the error of an access. `shown` is the URL of the object or the bucket.
pub(super) fn describe(service: Service, access: Access, shown: &str, error: &object_store::Error) -> BucketError {
    use object_store::Error as StoreError;
    let text = chain(error);
    let code = between(&text, "<Code>", "</Code>");
    let kind = match error {
        _ if code == Some("NoSuchBucket") || text.contains("ContainerNotFound") => BucketErrorKind::NoBucket,
        // A listing is refused with an error of no kind.
        _ if code == Some("AccessDenied") || ["401 Unauthorized", "403 Forbidden"].iter().any(|s| text.contains(s)) => {
            BucketErrorKind::Denied
        }
        StoreError::NotFound { .. } if access == Access::List => BucketErrorKind::NoBucket,
        StoreError::NotFound { .. } => BucketErrorKind::NotFound,
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => BucketErrorKind::Denied,
        _ => BucketErrorKind::Failed,
    };
    let said = match (code, between(&text, "<Message>", "</Message>")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        // GET and HEAD of S3 are answered without a document.
        (None, _) if kind == BucketErrorKind::Denied => "the store has refused the access".into(),
        (None, _) if kind == BucketErrorKind::NotFound => "there is no such object".into(),
        (None, _) => short(&text),
    };
    let is_unpermitted = kind == BucketErrorKind::Denied && matches!(code, None | Some("AccessDenied"));
    let need = match is_unpermitted {
        true => format!(" ({} is needed)", access.permission(service)),
        false => String::new(),
    };
    BucketError::new(kind, format!("{shown} {}: {said}{need}", access.refused()))
}

/// Returns the text of an error and of those that have caused it, as far as they say anything new.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    Some(text.split_once(start)?.1.split_once(end)?.0.trim())
}

/// Returns a text on one line, and only its end when it is long: the first cause comes last.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.chars().count().checked_sub(QUOTED) {
        None | Some(0) => line,
        Some(surplus) => format!("... {}", line.chars().skip(surplus).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_store_is_quoted_and_its_document_is_not() {
        let body =
            "PUT http://x - 403: <?xml?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        let error = object_store::Error::PermissionDenied { path: "a".into(), source: body.into() };
        let described = describe(Service::S3, Access::Write, "s3://b/a", &error);
        assert_eq!(described.kind, BucketErrorKind::Denied);
        assert_eq!(
            described.message,
            "s3://b/a cannot be written: AccessDenied: Access Denied (s3:PutObject is needed)"
        );
        let body = "<Error><Code>NoSuchBucket</Code></Error>";
        let error = object_store::Error::NotFound { path: "a".into(), source: body.into() };
        assert_eq!(describe(Service::S3, Access::Write, "s3://b/a", &error).kind, BucketErrorKind::NoBucket);
    }
}
