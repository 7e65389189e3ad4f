// Package wire is what boxes and the central say to each other: typed messages,
// their bytes, and one dated number for the protocol. It does no I/O.
//
// # Use
//
// Encode makes one frame of one message, Decode the message of a frame; a frame
// travels as one binary message of a websocket. What crosses when, and why, is in
// docs/sync.md; uplink and hub are the two machines that speak it.
//
// # Frames
//
//	byte 0   Type
//	byte 1   flags: bit 0 says that the body is deflated, the others are 0
//	then     the body; of a deflated one its length (uvarint) and the stream
//
// A body is its fields in a fixed order: numbers as uvarints in their shortest
// form, texts and bytes with their length before them, lists with their count.
// No field has a name, nothing may follow the last. A frame, its body and every
// text, list and piece in it has a limit; none is allocated before it was checked
// against the limit and against what is left of the frame.
//
// # Compatibility
//
// Hello names the oldest and the newest protocol that a box speaks; the central
// takes the newest that both know, or refuses. From Welcome on, both write exactly
// that protocol. A new field needs a new number and comes after the others; a new
// message needs a new number too, unless it may be passed over: types from 128 on
// are skipped by whoever does not know them (ErrSkip), others are an error.
//
// # What it does not do
//
// It does not encrypt: messages carry names, pictures of faces and templates, and
// may only travel inside TLS. Describe is the one text about a message that may be
// logged: it has types, numbers and counts.
package wire
