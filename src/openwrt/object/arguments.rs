//! The arguments of a call, read one by one.
//!
//! Nobody has checked them before: ubusd and libubus hand over whatever the caller wrote. What is absent and what is wrong are two
//! things; what a method does not ask for is never looked at.

use std::str::FromStr;

use serde_json::Value;

use crate::openwrt::ubus::{ArgumentType, Status, Table};

/// What came with a call.
#[derive(Clone, Copy)]
pub(super) struct Arguments<'a>(pub(super) &'a Table);

impl<'a> Arguments<'a> {
    /// Looks at the types of what a method advertises, whatever it makes of it later.
    ///
    /// # Errors
    /// Where something is of another type.
    pub(super) fn check(self, advertised: &[(&'static str, ArgumentType)]) -> Result<(), Status> {
        advertised.iter().try_for_each(|(name, kind)| match (kind, self.0.get(*name)) {
            (_, None) | (ArgumentType::Boolean, Some(Value::Bool(_))) => Ok(()),
            (ArgumentType::Integer, Some(_)) => self.integer(name).map(drop),
            (ArgumentType::String, Some(_)) => self.text(name).map(drop),
            _ => Err(Status::InvalidArgument),
        })
    }

    /// A text, if it is there.
    ///
    /// # Errors
    /// Where it is of another type.
    pub(super) fn text(self, name: &str) -> Result<Option<&'a str>, Status> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Status::InvalidArgument),
        }
    }

    /// An integer of any width, if it is there.
    ///
    /// # Errors
    /// Where it is of another type, or has a fraction.
    pub(super) fn integer(self, name: &str) -> Result<Option<i128>, Status> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let integer = value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        integer.map(Some).ok_or(Status::InvalidArgument)
    }

    /// How many of something, if it is there: at least one.
    ///
    /// # Errors
    /// Where it is no integer, or less than one.
    pub(super) fn count(self, name: &str) -> Result<Option<usize>, Status> {
        let count = |number: i128| {
            let number = number.clamp(0, i128::from(u32::MAX));
            usize::try_from(number).ok().filter(|n| *n > 0).ok_or(Status::InvalidArgument)
        };
        self.integer(name)?.map(count).transpose()
    }

    /// A text that means something (a MAC, an address), if it is there.
    ///
    /// # Errors
    /// Where it is of another type, or means nothing.
    pub(super) fn parsed<T: FromStr>(self, name: &str) -> Result<Option<T>, Status> {
        let parsed = |text: &str| text.parse().map_err(|_| Status::InvalidArgument);
        self.text(name)?.map(parsed).transpose()
    }
}
