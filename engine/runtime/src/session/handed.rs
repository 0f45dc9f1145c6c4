//! Sessions that go on from what somebody hands over.

use std::collections::BTreeMap;
use std::sync::Arc;

use girih_graph::stream::Carry;

use super::{Opening, Session, SessionError, StreamModel};
use crate::backend::Data;

impl Session {
    /// A session that has taken `position` positions, whoever has computed what it carries from them.
    /// By name all that [`carried`](Self::carried) gives there. Where nothing was taken, nothing is read.
    ///
    /// # Errors
    ///
    /// An input that the model does not take at the start; something carried that is not there, is
    /// unknown or has another dtype or shape than at this position; more bytes than allowed; a position
    /// among those that come in one piece.
    pub fn at(
        model: &Arc<StreamModel>,
        opening: Opening,
        position: u64,
        mut carries: BTreeMap<String, Data>,
    ) -> Result<Self, SessionError> {
        let mut session = Self::open(model, opening)?;
        if position == 0 {
            return Ok(session);
        }
        let needed = session.first_piece()?;
        if position < needed {
            return Err(SessionError::Together { needed });
        }
        let limit = session.opening.limit;
        if let Some(needed) = session.bytes_at(position).filter(|needed| *needed > limit) {
            return Err(SessionError::Limit {
                position,
                needed,
                limit,
            });
        }
        for carry in &model.stream().carries {
            let problem = |problem: String| SessionError::Handed {
                carry: carry.name.clone(),
                problem,
            };
            let Some(data) = carries.remove(&carry.name) else {
                return Err(problem("is not there".to_owned()));
            };
            session.fits(carry, &data, position).map_err(problem)?;
            session.point.carries.insert(carry.name.clone(), data);
        }
        if let Some(name) = carries.into_keys().next() {
            return Err(SessionError::Handed {
                carry: name,
                problem: "is nothing that the session carries".to_owned(),
            });
        }
        session.point.position = position;
        Ok(session)
    }

    /// Whether a value is what is carried at a position, as far as sizes are known; else why not.
    fn fits(&self, carry: &Carry, data: &Data, position: u64) -> Result<(), String> {
        let (own, wanted) = (data.dtype(), carry.ty.dtype);
        if own != wanted {
            return Err(format!("is `{own}`, not `{wanted}`"));
        }
        if data.shape().len() != carry.ty.axes.len() {
            let (own, wanted) = (data.shape().len(), carry.ty.axes.len());
            return Err(format!("has {own} axes, not {wanted}"));
        }
        let stream = self.model.stream();
        let total = i64::try_from(position).ok();
        let lookup = |name: &str| {
            if name == stream.total {
                return total;
            }
            self.symbols.get(name).copied()
        };
        let entries = carry.positions();
        for (place, (axis, own)) in carry.ty.axes.iter().zip(data.shape()).enumerate() {
            let entries = entries.as_ref().filter(|_| place == 0);
            let extent = entries.unwrap_or_else(|| stream.step.axes.extent(*axis));
            // What is not known yet is checked by the first step.
            let Ok(wanted) = extent.evaluate(&lookup) else {
                continue;
            };
            if usize::try_from(wanted) == Ok(*own) {
                continue;
            }
            return Err(match entries {
                Some(_) => format!(
                    "has {own} entries where {wanted} are carried after {position} positions"
                ),
                None => format!(
                    "has {own} elements along `{}`, not {wanted}",
                    stream.step.axes.name(*axis)
                ),
            });
        }
        Ok(())
    }
}
