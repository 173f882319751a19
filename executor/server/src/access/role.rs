//! What a token is good for.

use std::str::FromStr;

/// What the owner of a token may do. Kept as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Makes policies: publishes and changes them, and tries them out. Grants them nothing.
    Author,
    /// Puts policies to work: grants, functions, graphs, jobs; also what systems and executors use between them.
    Deployer,
    /// Asks for decisions.
    Caller,
    /// Reads everything, changes and runs nothing.
    Auditor,
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Reads records.
    Read,
    /// Runs what is there.
    Run,
    /// Reads what came of jobs: all of them, or, who may only run, of its own.
    Follow,
    /// Changes policies and assets.
    Publish,
    /// Changes what runs where.
    Deploy,
    /// Changes the executors themselves.
    Administer,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Author, Self::Deployer, Self::Caller, Self::Auditor];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Author => "author",
            Self::Deployer => "deployer",
            Self::Caller => "caller",
            Self::Auditor => "auditor",
        }
    }

    /// Whether it suffices for `permission`.
    pub fn may(self, permission: Permission) -> bool {
        use Permission::{Deploy, Follow, Publish, Read, Run};
        match self {
            Self::Admin => true,
            Self::Author => matches!(permission, Read | Run | Follow | Publish),
            Self::Deployer => matches!(permission, Read | Run | Follow | Publish | Deploy),
            Self::Caller => matches!(permission, Run | Follow),
            Self::Auditor => matches!(permission, Read | Follow),
        }
    }

    /// Whether it may give a policy more capabilities than it has.
    pub fn may_grant(self) -> bool {
        matches!(self, Self::Admin | Self::Deployer)
    }

    /// The roles that suffice for `permission`, for people.
    pub fn that_may(permission: Permission) -> String {
        let names: Vec<_> = Self::ALL.into_iter().filter(|role| role.may(permission)).map(Self::name).collect();
        names.join(", ")
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| format!("there are the roles {}", Self::ALL.map(Self::name).join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_its_name_says() {
        use Permission::{Administer, Deploy, Follow, Publish, Read, Run};
        let all = [Read, Run, Follow, Publish, Deploy, Administer];
        let expected = [
            (Role::Admin, [true, true, true, true, true, true]),
            (Role::Author, [true, true, true, true, false, false]),
            (Role::Deployer, [true, true, true, true, true, false]),
            (Role::Caller, [false, true, true, false, false, false]),
            (Role::Auditor, [true, false, true, false, false, false]),
        ];
        for (role, expected) in expected {
            assert_eq!(all.map(|permission| role.may(permission)), expected, "{role:?}");
            assert_eq!(role.name().parse(), Ok(role));
        }
        assert_eq!(Role::ALL.map(Role::may_grant), [true, false, true, false, false]);
        assert_eq!(Role::that_may(Permission::Publish), "admin, author, deployer");
        assert!("root".parse::<Role>().unwrap_err().contains("admin, author"));
    }
}
