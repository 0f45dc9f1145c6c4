//! Sampling, search and their limits on models whose logits are a hash.

use std::convert::Infallible;

use proptest::prelude::*;

use super::*;

/// A model of `size` tokens whose logits are a hash of the last two.
#[derive(Clone, Debug)]
struct Toy {
    size: u32,
    seed: u64,
    read: Vec<u32>,
}

impl Toy {
    fn new(size: u32, seed: u64) -> Self {
        let read = Vec::new();
        Self { size, seed, read }
    }

    fn logits(&self, ids: &[u32]) -> Vec<f64> {
        let mut last = ids.iter().rev().map(|id| u64::from(*id) + 1);
        let key = last.next().unwrap_or(0) * 1000 + last.next().unwrap_or(0);
        let of = |id: u32| 4.0 * sampling::draw(self.seed, key, u64::from(id));
        (0..self.size).map(of).collect()
    }

    /// Log-probability of `ids` after `prompt`, and of `end` after them.
    fn score(&self, prompt: &[u32], ids: &[u32]) -> f64 {
        let mut all = prompt.to_vec();
        let mut sum = 0.0;
        for id in ids {
            sum += sampling::log_probability(&self.logits(&all), *id).unwrap_or(f64::NAN);
            all.push(*id);
        }
        sum
    }
}

impl Continuation for Toy {
    type Error = Infallible;

    fn push(&mut self, ids: &[u32]) -> Result<Vec<f64>, Infallible> {
        self.read.extend(ids);
        Ok(self.logits(&self.read))
    }

    fn fork(&self) -> Result<Self, Infallible> {
        Ok(self.clone())
    }
}

fn on(_: u32) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn ids(request: &Request) -> Vec<u32> {
    let mut toy = Toy::new(5, 3);
    generate(&mut toy, &[], &[1, 2], request, &mut on)
        .map(|generated| generated.ids)
        .unwrap_or_default()
}

#[test]
fn a_stream_that_read_a_beginning_goes_on_alike() {
    let request = Request {
        sampling: Sampling::PLAIN,
        ..Request::greedy(6)
    };
    let mut toy = Toy::new(5, 3);
    toy.read.push(1);
    let later = generate(&mut toy, &[1], &[2], &request, &mut on).expect("it generates");
    assert_eq!(later.ids, ids(&request));
    assert_eq!(toy.read, [&[1, 2], &later.ids[..5]].concat());
    assert_eq!(later.reason, Reason::Length);
    let score = toy.score(&[1, 2], &later.ids);
    assert!((later.log_probability - score).abs() < 1e-9);
}

#[test]
fn streams_of_one_seed_differ() {
    let draws = |seed, stream| {
        let sampling = Sampling::PLAIN;
        let request = Request {
            sampling,
            seed,
            stream,
            ..Request::greedy(12)
        };
        ids(&request)
    };
    assert_eq!(draws(1, 0), draws(1, 0));
    assert_ne!(draws(1, 0), draws(1, 1));
    assert_ne!(draws(1, 0), draws(2, 0));
}

/// What each of several prompts becomes, alone and together, and what is told of them.
#[test]
fn texts_that_come_together_are_texts() {
    let asked = [
        (0, 5, vec![1, 2]),
        (1, 0, vec![3]),
        (2, 9, vec![4]),
        (0, 2, vec![2, 2, 1]),
    ];
    let request = |(stream, most, _): &(u64, usize, Vec<u32>)| Request {
        sampling: Sampling::PLAIN,
        ends: vec![3],
        stream: *stream,
        ..Request::greedy(*most)
    };
    for seed in 0..20 {
        let requests: Vec<Request> = asked.iter().map(request).collect();
        let mut toys = vec![Toy::new(5, seed); asked.len()];
        let begun = toys.iter_mut().zip(&asked).zip(&requests);
        let begun = begun.map(|((stream, (.., prompt)), request)| Begun {
            stream,
            before: &[],
            prompt,
            request,
        });
        let mut told = vec![Vec::new(); asked.len()];
        let mut over = vec![0; asked.len()];
        // The first text is stopped before its fourth token.
        let flow = |at, said: usize| {
            if at == 0 && said == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let together = generate_together(begun.collect(), &mut |at, event| {
            assert_eq!(over[at], 0, "nothing follows the end");
            match event {
                Event::Token(id) => told[at].push(id),
                Event::Over => over[at] += 1,
            }
            flow(at, told[at].len())
        });
        let together = together.expect("it generates");
        assert_eq!(over, [1; 4]);
        for (at, (.., prompt)) in asked.iter().enumerate() {
            let mut toy = Toy::new(5, seed);
            let mut count = 0;
            let alone = generate(&mut toy, &[], prompt, &requests[at], &mut |_| {
                count += 1;
                flow(at, count)
            });
            assert_eq!(alone.expect("it generates"), together[at]);
            assert_eq!((&toys[at].read, &told[at]), (&toy.read, &together[at].ids));
        }
    }
    let request = Request::greedy(1);
    let mut toys = vec![Toy::new(5, 0); 2];
    let begun = toys.iter_mut().zip([&[1][..], &[]]);
    let begun = begun.map(|(stream, prompt)| Begun {
        stream,
        before: &[],
        prompt,
        request: &request,
    });
    let none = generate_together(begun.collect(), &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(none, Err(GenerateError::EmptyPrompt)));
}

#[test]
fn an_end_is_not_part_of_the_text() {
    let plain = ids(&Request::greedy(5));
    let ends = vec![plain[2]];
    let first = plain.iter().position(|id| ends.contains(id)).unwrap_or(0);
    let request = Request {
        ends,
        ..Request::greedy(5)
    };
    assert_eq!(ids(&request), plain[..first]);
}

#[test]
fn who_is_told_may_stop() {
    let mut told = Vec::new();
    let mut say = |id| {
        told.push(id);
        if told.len() == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let generated = generate(
        &mut Toy::new(5, 3),
        &[],
        &[1],
        &Request::greedy(9),
        &mut say,
    );
    let generated = generated.expect("it generates");
    assert_eq!(
        (generated.ids.len(), generated.reason),
        (2, Reason::Stopped)
    );
}

#[test]
fn forced_comes_first_and_forbidden_never() {
    let plain = ids(&Request::greedy(4));
    let forced = vec![(plain[0] + 1) % 5, 4];
    let request = Request {
        forced: forced.clone(),
        ..Request::greedy(4)
    };
    assert!(ids(&request).starts_with(&forced));
    let request = Request {
        forbidden: vec![plain[..2].to_vec()],
        ..Request::greedy(4)
    };
    let without = ids(&request);
    assert_eq!(without[0], plain[0]);
    assert!(
        !without.windows(2).any(|pair| pair == &plain[..2]),
        "{without:?}"
    );
}

#[test]
fn what_cannot_be_is_an_error() {
    let run = |prompt: &[u32], request: &Request| {
        let result = generate(&mut Toy::new(2, 0), &[], prompt, request, &mut on);
        result
            .map(|generated| generated.ids.len())
            .map_err(|error| error.to_string())
    };
    assert_eq!(run(&[0], &Request::greedy(0)), Ok(0));
    let no_prompt = run(&[], &Request::greedy(1));
    assert_eq!(
        no_prompt,
        Err("the prompt has no tokens; write some text".to_owned())
    );
    let forbidden = vec![vec![0], vec![1], vec![]];
    let nothing = run(
        &[0],
        &Request {
            forbidden,
            ..Request::greedy(1)
        },
    );
    assert!(nothing.is_err_and(|error| error.starts_with("after 1 tokens no token")));
    let unknown = run(
        &[0],
        &Request {
            forced: vec![7],
            ..Request::greedy(1)
        },
    );
    assert_eq!(
        unknown,
        Err("the token 7 is asked for, but the model has 2 of them".to_owned())
    );
    let beams = Beams {
        width: 0,
        length_penalty: 1.0,
    };
    let none = search(Toy::new(2, 0), &[0], &Request::greedy(1), beams);
    assert!(matches!(none, Err(GenerateError::NoBeams)));
}

/// Every continuation of at most `most` tokens, with its log-probability and count of tokens (the end
/// counts).
fn every(toy: &Toy, end: u32, most: usize) -> Vec<(Vec<u32>, f64, usize)> {
    let mut whole = Vec::new();
    let mut open: Vec<Vec<u32>> = vec![Vec::new()];
    for count in 1..=most {
        let mut longer = Vec::new();
        for ids in open {
            for id in 0..toy.size {
                let next = [ids.as_slice(), &[id]].concat();
                let score = toy.score(&[0], &next);
                if id == end {
                    whole.push((ids.clone(), score, count));
                } else if count == most {
                    whole.push((next, score, count));
                } else {
                    longer.push(next);
                }
            }
        }
        open = longer;
    }
    whole
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_wide_search_finds_the_best(seed: u64, most in 1usize..4, penalty in -1.0..2.0) {
        let toy = Toy::new(4, seed);
        let request = Request { ends: vec![3], ..Request::greedy(most) };
        let beams = Beams { width: 64, length_penalty: penalty };
        let found = search(toy.clone(), &[0], &request, beams).expect("it searches");
        let mut all = every(&toy, 3, most);
        all.sort_by(|a, b| beams.judge(b.1, b.2).total_cmp(&beams.judge(a.1, a.2)));
        let best: Vec<_> = all.iter().take(64).map(|(ids, ..)| ids.clone()).collect();
        let found: Vec<_> = found.into_iter().map(|generated| generated.ids).collect();
        prop_assert_eq!(found, best);
    }

    #[test]
    fn one_beam_is_greedy(seed: u64) {
        let request = Request::greedy(6);
        let toy = Toy::new(6, seed);
        let beams = Beams { width: 1, length_penalty: 0.0 };
        let found = search(toy.clone(), &[2], &request, beams).expect("it searches");
        let greedy = generate(&mut toy.clone(), &[], &[2], &request, &mut on).expect("it generates");
        prop_assert_eq!(&found[0].ids, &greedy.ids);
    }
}
