// Package hub is the central's side of sync, as one machine that does no I/O: Step
// takes what happened and the time, and returns what is to be done.
//
// # Use
//
// The host (cypherface-central, or the simulator) checks who connects, gives each
// connection a number that it never uses again, and feeds the machine from one
// goroutine:
//
//	m := hub.New(config)
//	for {
//		for _, out := range m.Step(now, in) { … }  // carry out
//		// wait for the next input, or until m.Wake() and then step Tick
//	}
//
// Send and Close are for the network. Admit, Ingest, ReadFeed, ReadSnapshot, Confirm
// and Flag are for the store: the host may carry out many at once, so that they share
// a commit, and answers each with its Done input when it is durable or failed. For
// each connection there is at most one of each under way.
//
// Times are durations on a clock that only goes forward.
//
// # What it promises
//
// It acknowledges no event before Ingested has said that it is durable. It sends
// each scope's revisions in order, from the box's bookmark, without leaving one out.
// What boxes may send is bounded by Config.Memory, and what is on its way to them by
// Config.Sending, in equal shares and with one message more for each connection. Boxes are admitted at most Config.Rate a second; others are told
// within which time to come back. Of a store that is on two boxes neither is
// served (Flag).
//
// # What it does not do
//
// It knows no records and no keys: who connects was checked before, and how edits
// are merged is the store's.
package hub
