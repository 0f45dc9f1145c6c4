//! `girih chat`: a conversation with a model.

use girih_runtime::generate::generate;
use girih_runtime::text::Message;

use super::Streams;
use super::choice::Choice;
use super::voice::Voice;
use crate::failure::{Failure, Outcome};
use crate::speaker::{Asked, Speaker, Stream, text_error};

/// Talk with a model.
///
/// Each line of the input is said to the model in the form of its own chat template, and its answer
/// comes as it is made. What the model has read already is not read again. An empty line is left out; the end
/// of the input ends the conversation, and so does `/end`; `/new` begins another one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih chat smollm2
  girih chat smollm2 --system \"You answer in one sentence.\" --temperature 0.7
  echo \"Name three rivers.\" | girih chat smollm2")]
pub(super) struct Args {
    #[command(flatten)]
    asked: Asked,
    /// What the model is told before the conversation.
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    #[command(flatten)]
    choice: Choice,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    args.choice.check()?;
    let speaker = Speaker::open(&args.asked, streams.colors, streams.watched)?;
    if speaker.has_source() {
        return Err(Failure::Misuse(
            "a model with an encoder holds no conversation; use `girih generate`".to_owned(),
        ));
    }
    let mut talk = Talk::new(args, &speaker)?;
    let mut line = String::new();
    loop {
        if streams.watched {
            write!(streams.err, "> ")?;
            streams.err.flush()?;
        }
        line.clear();
        if streams.input.read_line(&mut line)? == 0 {
            return Ok(Outcome::Holds);
        }
        match line.trim() {
            "" => {}
            "/end" => return Ok(Outcome::Holds),
            "/new" => talk = Talk::new(args, &speaker)?,
            said => talk.answer(args, said, streams)?,
        }
    }
}

/// A conversation.
struct Talk<'a> {
    speaker: &'a Speaker,
    messages: Vec<Message>,
    stream: Stream<'a>,
    /// Answers so far: each is drawn anew.
    answers: u64,
}

impl<'a> Talk<'a> {
    fn new(args: &Args, speaker: &'a Speaker) -> Result<Self, Failure> {
        let system = args.system.iter();
        let (stream, _) = speaker.begin(Vec::new())?;
        Ok(Self {
            speaker,
            messages: system
                .map(|text| Message::new("system", text.as_str()))
                .collect(),
            stream,
            answers: 0,
        })
    }

    /// Says one thing and prints the answer as it comes.
    fn answer(
        &mut self,
        args: &Args,
        said: &str,
        streams: &mut Streams<'_>,
    ) -> Result<(), Failure> {
        let tokenizer = &self.speaker.tokenizer;
        let template = tokenizer.chat_template().ok_or_else(|| {
            Failure::Misuse("the tokenizer has no chat template; use `girih generate`".to_owned())
        })?;
        self.messages.push(Message::new("user", said));
        let text = template.render(&self.messages, true).map_err(text_error)?;
        let ids = tokenizer.encode_plain(&text).map_err(text_error)?;
        // The template may write an answer otherwise than the model did: only what is equal stays read,
        // and at least one token is read to know what follows.
        let pairs = self.stream.ids().iter().zip(&ids);
        let known = pairs.take_while(|(read, wanted)| read == wanted).count();
        let known = known.min(ids.len().saturating_sub(1));
        self.stream.rewind(known)?;
        let mut request = args.choice.request(tokenizer)?;
        request.stream = self.answers;
        self.answers += 1;
        let mut voice = Voice::new(self.speaker, &args.choice.stop);
        let (before, new) = ids.split_at(known);
        let generated = generate(&mut self.stream, before, new, &request, &mut |id| {
            voice.say(id, &mut *streams.out)
        });
        let text = voice.finish(&mut *streams.out)?;
        generated?;
        self.messages.push(Message::new("assistant", text));
        Ok(())
    }
}
