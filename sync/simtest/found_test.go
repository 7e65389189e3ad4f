package simtest

import "testing"

// found are seeds that violate a promise when a fix is taken out again, with what was
// wrong.
var found = []struct {
	seed uint64
	was  string
}{
	{12168, "store: what a box that was restored from its backup had made, and sent with events of its new epoch, was not offered again as its own to a restored central"},
	{6, "hub: a scope that went on while it was read for a box, or while the box was let in, was not read again"},
	{109, "uplink: a message that something between had dropped was not missed, and data looked younger than it was"},
	{11, "store: a change went up again to a restored central for somebody who was erased since, and the box saved nothing any more"},
	{17, "store: a grant that was withdrawn after a central had lost it was offered again as one that is there, and never settled;" +
		" a box that was restored from its backup never sent the changes that were pending in it"},
	{605, "store: a change that went up again to a restored central replaced what was written there since, without a trace"},
	{1909, "store: a box that was restored from its backup never sent erasures that the central had not heard of"},
	{247, "store: what a central had said that it has merged, and whose acknowledgement had not come, was not offered again after its restore, and people were lost"},
	{9093, "store: a grant that was withdrawn came back, offered again to a restored central by a box that had not heard of it"},
	{6106, "store: a box with a deletion pending about somebody who was erased could not be restored from its backup"},
}

// foundHard are seeds of hard fleets that did.
var foundHard = []struct {
	seed uint64
	was  string
}{
	{7, "store: an erasure was refused where a restored central had the person outside the scope of the box"},
	{557, "store: who erased somebody's face erased the review of his disputed address"},
	{945, "store: as seed 12168"},
	{2965, "store: a box never heard of what it had deleted outside of its scope"},
	{3395, "store: somebody went up again with an event later than the one that made him, and was lost with a central restored to between them"},
	{1084, "store: who had stolen the key of a box deleted by its id a grant that a restored central did not know, before who had made it brought it again"},
	{9037, "store: a box that offered somebody again to a restored central, and did not know yet to which site he belongs, took him out of it"},
	{10656, "hub: a box that was there twice was served while the store was being told that it was"},
	{2077, "store: a change of somebody who had left the scope was refused without a trace"},
}

// TestFoundBefore runs the seeds that have found something.
func TestFoundBefore(t *testing.T) {
	for _, f := range found {
		for _, v := range Run(f.seed, Options{}).Violated {
			t.Errorf("seed %d: %s; once: %s", f.seed, v, f.was)
		}
	}
	for _, f := range foundHard {
		for _, v := range Run(f.seed, Options{Hard: true}).Violated {
			t.Errorf("hard seed %d: %s; once: %s", f.seed, v, f.was)
		}
	}
}
