//! Functions on network prefixes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{CallError, Function, Kind, Param, failed, text, whole};
use crate::jobspec::value::Value;

const PREFIX: Param = Param("prefix", Kind::Text);

pub(super) static TABLE: &[Function] = &[
    Function {
        name: "cidrhost",
        params: &[PREFIX, Param("hostnum", Kind::Whole)],
        rest: None,
        run: |a, _| {
            let prefix = Prefix::parse(text(&a[0]))?;
            prefix.host(whole(&a[1])).map(Value::text)
        },
    },
    Function {
        name: "cidrnetmask",
        params: &[PREFIX],
        rest: None,
        run: |a, _| {
            let prefix = Prefix::parse(text(&a[0]))?;
            if prefix.width == 128 {
                return failed("IPv6 addresses cannot have a netmask");
            }
            Ok(Value::text(prefix.address(prefix.mask(prefix.length))))
        },
    },
    Function {
        name: "cidrsubnet",
        params: &[
            PREFIX,
            Param("newbits", Kind::Whole),
            Param("netnum", Kind::Whole),
        ],
        rest: None,
        run: |a, _| {
            let prefix = Prefix::parse(text(&a[0]))?;
            let subnet = prefix.subnet(whole(&a[1]), whole(&a[2]))?;
            Ok(Value::text(subnet.to_string()))
        },
    },
    Function {
        name: "cidrsubnets",
        params: &[PREFIX],
        rest: Some(Param("newbits", Kind::Whole)),
        run: |a, _| {
            let prefix = Prefix::parse(text(&a[0]))?;
            let mut out = Vec::new();
            let mut next = prefix.bits;
            for bits in a[1..].iter().map(whole) {
                let subnet = prefix.at(next, bits)?;
                next = subnet.after();
                out.push(Value::text(subnet.to_string()));
            }
            Ok(Value::List(out))
        },
    },
];

/// The leading `length` bits of an address of `width` bits.
#[derive(Clone, Copy)]
struct Prefix {
    bits: u128,
    length: u32,
    width: u32,
}

impl Prefix {
    fn parse(text: &str) -> Result<Self, CallError> {
        let invalid = || {
            CallError::Failed(format!(
                "invalid CIDR expression: invalid CIDR address: {text}"
            ))
        };
        let (address, length) = text.split_once('/').ok_or_else(invalid)?;
        let length: u32 = length.parse().map_err(|_| invalid())?;
        let (bits, width) = match address.parse().map_err(|_| invalid())? {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32),
            IpAddr::V6(v6) => (u128::from(v6), 128),
        };
        if length > width {
            return Err(invalid());
        }
        let mut prefix = Self {
            bits,
            length,
            width,
        };
        prefix.bits &= prefix.mask(length);
        Ok(prefix)
    }

    /// The bits of a mask of `length`.
    fn mask(&self, length: u32) -> u128 {
        let all = u128::MAX >> (128 - self.width);
        let hosts = all.checked_shr(length).unwrap_or(0);
        all & !hosts
    }

    fn address(&self, bits: u128) -> String {
        if self.width == 32 {
            Ipv4Addr::from((bits & u128::from(u32::MAX)) as u32).to_string()
        } else {
            Ipv6Addr::from(bits).to_string()
        }
    }

    /// The address of host `number`, counted from the end if negative.
    fn host(&self, number: i64) -> Result<String, CallError> {
        let host_bits = self.width - self.length;
        let size = 1_u128.checked_shl(host_bits).filter(|_| host_bits < 128);
        let offset = u128::from(number.unsigned_abs());
        let fits = match size {
            Some(size) if number < 0 => offset <= size,
            Some(size) => offset < size,
            None => true,
        };
        if !fits {
            return failed(format!(
                "prefix of {} does not accommodate a host numbered {number}",
                self.length
            ));
        }
        let host = if number < 0 {
            (u128::MAX >> (128 - self.width)) & !self.mask(self.length) & (u128::MAX - offset + 1)
        } else {
            offset
        };
        Ok(self.address(self.bits | host))
    }

    /// Network `number` among those with `new_bits` more bits.
    fn subnet(&self, new_bits: i64, number: i64) -> Result<Self, CallError> {
        let longer = self.at(self.bits, new_bits)?;
        let number_bits = longer.length - self.length;
        let number_u128 = u128::try_from(number).ok();
        match number_u128 {
            Some(n) if number_bits >= 128 || n < (1_u128 << number_bits) => {
                let shift = self.width - longer.length;
                let moved = n.checked_shl(shift).unwrap_or(0);
                Ok(Self {
                    bits: self.bits | moved,
                    ..longer
                })
            }
            _ => failed(format!(
                "prefix extension of {number_bits} does not accommodate a subnet numbered {number}"
            )),
        }
    }

    /// The first network of `new_bits` more bits that starts at or after `from`.
    fn at(&self, from: u128, new_bits: i64) -> Result<Self, CallError> {
        let length = u32::try_from(new_bits)
            .ok()
            .and_then(|bits| self.length.checked_add(bits))
            .filter(|length| *length <= self.width);
        let Some(length) = length else {
            return failed(format!(
                "not enough remaining address space for {new_bits} more bits"
            ));
        };
        let hosts = (u128::MAX >> (128 - self.width)) & !self.mask(length);
        let aligned = from.saturating_add(hosts) & self.mask(length);
        if aligned & self.mask(self.length) != self.bits {
            return failed("not enough remaining address space for a subnet");
        }
        Ok(Self {
            bits: aligned,
            length,
            width: self.width,
        })
    }

    /// The first address behind this network.
    fn after(&self) -> u128 {
        let hosts = (u128::MAX >> (128 - self.width)) & !self.mask(self.length);
        (self.bits | hosts).saturating_add(1)
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address(self.bits), self.length)
    }
}
