// Package uplink is the box's side of sync, as one machine that does no I/O: Step
// takes what happened and the time, and returns what is to be done.
//
// # Use
//
// The host (cypherfaced, or the simulator) makes a Machine from what its store
// holds, and feeds it from one goroutine:
//
//	m := uplink.New(config, state)
//	for {
//		for _, out := range m.Step(now, in) { … }  // carry out, in this order
//		// wait for the next input, or until m.Wake() and then step Tick
//	}
//
// Outputs are of three sorts. Dial, Send and Hangup are for the network. Read,
// Save, Apply and Resync are for the store: the host carries out one after another
// and answers each with Done once it is durable, or failed; there is at most one
// Read and one of the others under way. Tell is for whoever wants to know how sync
// stands, and says whether the box may match.
//
// Times are durations since some moment before the machine was made, on a clock
// that only goes forward (CLOCK_BOOTTIME). No wall clock is asked.
//
// # What it promises
//
// It acknowledges nothing that Done has not said is durable. It sends the journal
// in order, from where the central says it has it, and never leaves an event out.
// It holds at most Config.Window bytes of what the central sent, and one batch of
// its own. It never makes a decision wait: what the box decides is appended to the
// journal whether there is a connection or not.
//
// # What it does not do
//
// It knows no records: what an edit is, how a feed is laid over changes that the
// central has not seen yet, and what erasing takes, is the store's.
package uplink
