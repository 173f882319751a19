//! `derive(Schema)`: a constant tree for a type.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DataEnum, DeriveInput, Error, Field, Fields, GenericParam, Result, Variant};

use crate::attributes::{OfField, OfType};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if let Some(parameter) = input.generics.params.iter().find(|param| !matches!(param, GenericParam::Lifetime(_))) {
        return Err(Error::new_spanned(parameter, "`Schema` cannot be derived for a type with type parameters"));
    }
    let attributes = OfType::parse(&input.attrs)?;
    let members = match &input.data {
        Data::Struct(data) => of_struct(&data.fields, &attributes, input)?,
        Data::Enum(data) => of_enum(data, &attributes)?,
        Data::Union(_) => return Err(Error::new_spanned(input, "`Schema` cannot be derived for a union")),
    };
    let name = &input.ident;
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #generics ::lictor_policy::Schema for #name #arguments #bounds {
            #members
        }
    })
}

fn of_struct(fields: &Fields, attributes: &OfType, input: &DeriveInput) -> Result<TokenStream> {
    match fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => fields.unnamed.first().map(wrapped),
        Fields::Named(fields) if attributes.transparent && fields.named.len() == 1 => fields.named.first().map(wrapped),
        Fields::Named(fields) => Some(of_fields(fields.named.iter(), attributes)),
        _ => None,
    }
    .unwrap_or_else(|| Err(Error::new_spanned(input, "`Schema` needs named fields: write `struct Name {}`")))
}

/// A type that serde writes as what it holds.
fn wrapped(field: &Field) -> Result<TokenStream> {
    let ty = OfField::parse(&field.attrs)?.described_as.unwrap_or_else(|| field.ty.clone());
    Ok(quote! {
        const NODE: &'static ::lictor_policy::schema::Node = <#ty as ::lictor_policy::Schema>::NODE;
        const OPTIONAL: bool = <#ty as ::lictor_policy::Schema>::OPTIONAL;
    })
}

fn of_fields<'a>(fields: impl Iterator<Item = &'a Field>, attributes: &OfType) -> Result<TokenStream> {
    let mut described = Vec::new();
    for field in fields {
        let about = OfField::parse(&field.attrs)?;
        if !about.skip {
            described.push(of_field(field, &about, attributes)?);
        }
    }
    let closed = attributes.closed;
    Ok(quote! {
        const NODE: &'static ::lictor_policy::schema::Node = &::lictor_policy::schema::Node::Object {
            fields: &[#(#described),*],
            closed: #closed,
        };
    })
}

fn of_field(field: &Field, about: &OfField, attributes: &OfType) -> Result<TokenStream> {
    if about.reshaped && about.described_as.is_none() {
        let why = "serde reads or writes this field by a function: say what it looks like by `#[schema(as = Type)]`";
        return Err(Error::new_spanned(field, why));
    }
    let ty = about.described_as.as_ref().unwrap_or(&field.ty);
    let name = field_name(field, about, attributes);
    let description = &about.description;
    let optional = about.optional || attributes.default;
    let limits = limits(about);
    Ok(quote! {
        ::lictor_policy::schema::Field {
            name: #name,
            required: !#optional && !<#ty as ::lictor_policy::Schema>::OPTIONAL,
            description: #description,
            limits: #limits,
            node: <#ty as ::lictor_policy::Schema>::NODE,
        }
    })
}

fn field_name(field: &Field, about: &OfField, attributes: &OfType) -> String {
    let written = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    let written = written.trim_start_matches("r#");
    match (&about.rename, attributes.rename_all) {
        (Some(name), _) => name.clone(),
        (None, Some(case)) => case.of_field(written),
        (None, None) => written.to_owned(),
    }
}

fn limits(about: &OfField) -> TokenStream {
    let set = |limit: &Option<String>| match limit {
        Some(limit) => quote!(::core::option::Option::Some(#limit)),
        None => quote!(::core::option::Option::None),
    };
    let (pattern, min, max, max_length) =
        (set(&about.pattern), set(&about.min), set(&about.max), set(&about.max_length));
    quote! {
        ::lictor_policy::schema::Limits { pattern: #pattern, min: #min, max: #max, max_length: #max_length }
    }
}

fn of_enum(data: &DataEnum, attributes: &OfType) -> Result<TokenStream> {
    let mut names = Vec::new();
    for variant in &data.variants {
        let about = OfField::parse(&variant.attrs)?;
        if !about.skip {
            names.push(variant_name(variant, about, attributes)?);
        }
    }
    Ok(quote! {
        const NODE: &'static ::lictor_policy::schema::Node =
            &::lictor_policy::schema::Node::Choices(&[#(#names),*]);
    })
}

fn variant_name(variant: &Variant, about: OfField, attributes: &OfType) -> Result<String> {
    if !matches!(variant.fields, Fields::Unit) {
        let why = "`Schema` cannot be derived for an enum whose variants hold something: implement it by hand";
        return Err(Error::new_spanned(variant, why));
    }
    let written = variant.ident.to_string();
    Ok(about.rename.unwrap_or_else(|| attributes.rename_all.map_or(written.clone(), |case| case.of_variant(&written))))
}
