// Package simtest runs fleets of boxes and a central in virtual time, on a network,
// disks and clocks that fail, and checks that sync keeps what it promises.
//
// # Use
//
// Run takes a seed and says how it went. A seed is one run, to the last step: it is
// run by one goroutine, from one queue, with one source of chance. Boxes and the
// central are the machines of sync/uplink and sync/hub over the rules of store, on a
// disk in memory that loses what was not synced; nothing of them is modelled. What
// must be true is: the oracle has a small model of its own, and holds every message
// and every sync against it.
//
// # What it does not do
//
// It has no threads, sockets or files: that daemons carry out what the machines ask
// for is tested with real processes.
package simtest
