"""The proof that nothing is lost and nothing happens twice: `python -m tests.faults`.

A trial is one play: people in a simulated Slack workspace start a sample app in a channel of their own, answer its
forms (or stop the run, or let a deadline pass), while ONE fault strikes; then it is judged what everybody sees, and
what Dify and Slack were asked. All of it follows from the trial's seed: the play, the fault, when it strikes, how long
a killed bot stays away, how long people think. Trial number i of a run has the seed S + i, so that `--seed` with
`--trials 1` repeats a trial. What the seed cannot fix is the scheduling of the processes.

`plays` has the plays, `faults` the kinds of faults and how one is drawn, `people` those who act, `judge` the rules by
which it is counted. `victim` runs the bot itself, in a process of its own; `points` is the file in which a point of its
life is made deadly; `bots` starts it again. `worker` plays the trials of one process, and `__main__` puts workers to
work and prints.

The bot is the one that is shipped, started by its own command line from an environment, with real sockets and a real
database file or server. Kills are SIGKILLs of a real process by itself, at a counted point: before and after every
transaction, before every request to Dify and Slack goes out and after its answer came and before it is read, at every
event of a stream, and when a delivery arrived, was saved, and was acknowledged. With several processes the points
are counted over all of them.

Both platforms and the database live on for fifty trials, and of the bots only those are started again that were ended.
At the end of the fifty all of them are judged once more, so that what is posted late is found.

People are honest. They act on what they see: a form is answered when it appears; a click or a command of which Slack
says that it failed is done again, and so is one of which the bot says why it did not count, as long as the form is
still there. What was acknowledged and not answered otherwise is not repeated: the bot has to carry it out.

A fault that found nothing to strike, as when the play was over before, is told apart: `struck` counts the others. What
the people or the faults themselves cannot do as written ends the run with the error.

Slack's rate limits are off: thousands of plays a minute in one workspace would mostly wait for them. They are the
matter of `tests/slack` and `tests/acceptance`.

What is counted:

decisions_lost          an acknowledged decision that Dify never got, although nobody else decided and the deadline
                        did not pass, and of which the person was not told; or one that arrived changed; or an
                        acknowledged Stop that was neither sent to Dify nor answered
decisions_sent_twice    an answer that was sent after Dify had taken one of ours for the same form, or sent again
                        without a look at the form in between; a run that was started twice
posts_lost              a root, form or result that is nowhere, or a result with less text than Dify gave out; a text
                        that still says that more is to come, or is still being streamed, when the run has ended; a form
                        left to its deadline of which nobody was reminded
posts_doubled           one that stands there twice, by its metadata or by what it says; two texts of one segment, two
                        reminders of one form, or a note that somebody got more often than they had to act
forms_without_outcome   a form that still has buttons, or does not say what Dify knows of it, or a run whose root
                        message does not say how it ended
clicks_without_answer   an acknowledged click or command after which neither the form (or a root message) shows what
                        came of it nor the person was told, by a note on that form, run or command; of two who click
                        at once, the loser must be told; a trial in which no command was acknowledged or started
                        anything, however often it was tried

Three ends are legal because a platform makes another one impossible; nothing else is excused:

- A start is not confirmed where it did not reach Dify, or where the connection to Dify, or the process that held it,
  died before Dify named the run of a Chatflow: Dify has no idempotency key, so it is never sent again; the root message
  and the thread say so. A Chatflow's run may go on in Dify unseen, as no log names it; a workflow's that is in Dify has
  to be found in the log and followed to its end. Accepted only where the bot says so, where at most one start reached
  Dify, where the fault was one that can lose a start or its answer, and where the root never showed a state past
  starting and the thread holds nothing but that sentence. Everything else of such a trial is judged like any other.
- A note to one person stands there twice where Slack's answer to it was lost, or the process died before reading it:
  ephemeral messages are in no history, so nothing tells whether it was posted. Accepted for these faults only.
  For any other fault nobody gets a note again who did not have to act again: because Slack said that it failed, because
  the bot said to try again, or because the fault held up the redraw that would have taken the buttons away.
- A click or a command that nobody acknowledged is not carried out: Slack itself tells the person that it failed.

The first two are printed for each kind of fault, and for kills for each kind of point, with a ceiling
(`judge.most_excused`): a bit more than the part of its trials in which it hits just there, reckoned from how many of
the points of a play lie there, and two for short runs. More than that fails the run like anything that is counted.
"""
