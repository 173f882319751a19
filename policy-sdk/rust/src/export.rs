//! `export!`: from a type to the exports of a component.

/// Makes a type that implements [`Policy`](crate::Policy) the policy of this component. Once per crate.
///
/// - `export!(Name)` also places the JSON schemas of the four types in the component.
/// - `export!(Name, no_schemas)` does not: for types that do not implement [`Schema`](trait@crate::Schema).
/// - `export!(Name, stateful)` and `export!(Name, stateful, no_schemas)` also export
///   [`Stateful`](crate::Stateful).
///
/// On anything but wasm it only checks that the traits are there.
#[macro_export]
macro_rules! export {
    ($policy:ty) => {
        $crate::__export_rule!($policy);
        $crate::__export_schemas!($policy);
    };
    ($policy:ty, no_schemas) => {
        $crate::__export_rule!($policy);
    };
    ($policy:ty, stateful) => {
        $crate::__export_rule!($policy, stateful);
        $crate::__export_schemas!($policy);
    };
    ($policy:ty, stateful, no_schemas) => {
        $crate::__export_rule!($policy, stateful);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_rule {
    ($policy:ty $(, $stateful:ident)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            std::thread_local! {
                static SLOT: $crate::glue::Slot<$policy> = const { $crate::glue::Slot::empty() };
            }

            struct Guest;

            impl $crate::bindings::policy::exports::lictor::policy::rule::Guest for Guest {
                fn init(
                    rule_id: String,
                    settings: String,
                    parameters: String,
                ) -> Result<(), $crate::bindings::policy::lictor::policy::types::Failure> {
                    Ok(SLOT.with(|slot| slot.init(&rule_id, &settings, &parameters))?)
                }

                fn eval(
                    parameters: Option<String>,
                    input: String,
                    call: String,
                ) -> Result<String, $crate::bindings::policy::lictor::policy::types::Failure> {
                    Ok(SLOT.with(|slot| slot.eval(parameters.as_deref(), &input, call))?)
                }

                fn management(
                    action: String,
                    data: String,
                ) -> Result<String, $crate::bindings::policy::lictor::policy::types::Failure> {
                    Ok(SLOT.with(|slot| slot.management(&action, &data))?)
                }
            }

            $crate::bindings::policy::__export_policy!(Guest with_types_in $crate::bindings::policy);
            $($crate::__export_state!(Guest, SLOT, $stateful);)?
        };

        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            const fn is_policy<P: $crate::Policy>() {}
            is_policy::<$policy>();
            $($crate::__check_state!($policy, $stateful);)?
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_state {
    ($guest:ident, $slot:ident, stateful) => {
        impl $crate::bindings::state::exports::lictor::policy::state::Guest for $guest {
            fn save() -> Result<Vec<u8>, $crate::bindings::policy::lictor::policy::types::Failure> {
                Ok($slot.with(|slot| slot.save())?)
            }

            fn restore(
                from_policy_uri: String,
                data: Vec<u8>,
            ) -> Result<(), $crate::bindings::policy::lictor::policy::types::Failure> {
                Ok($slot.with(|slot| slot.restore(&from_policy_uri, &data))?)
            }
        }

        $crate::bindings::state::__export_state!($guest with_types_in $crate::bindings::state);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __check_state {
    ($policy:ty, stateful) => {
        const fn is_stateful<P: $crate::Stateful>() {}
        is_stateful::<$policy>();
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_schemas {
    ($policy:ty) => {
        const _: () = {
            const LENGTH: usize = $crate::schema::section_length(&$crate::schema::Schemas::of::<$policy>());

            // Kept even if nothing names it, and outside the memory of the module.
            #[used]
            #[cfg_attr(target_arch = "wasm32", unsafe(link_section = "lictor:schemas"))]
            static SECTION: [u8; LENGTH] = $crate::schema::section(&$crate::schema::Schemas::of::<$policy>());
        };
    };
}
