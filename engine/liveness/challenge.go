package liveness

import (
	"crypto/rand"
	"math/big"
	"slices"
)

// Move is one thing that a challenge asks for, from the person's own point of view.
type Move string

// The moves.
const (
	Center Move = "center" // look straight into the camera
	Left   Move = "left"   // turn the head to the left
	Right  Move = "right"
	Up     Move = "up" // lift the chin
	Down   Move = "down"
	Closer Move = "closer" // bring the face closer
)

// Moves lists what may be asked for besides looking straight.
func Moves() []Move { return []Move{Left, Right, Up, Down, Closer} }

// Bounds of a session's frames.
const (
	MinFrames       = 3  // of a passive session
	MinActiveFrames = 10 // of an active one: each move must be seen on its way
	MaxFrames       = 60
)

// NewChallenge draws what an active session asks for: straight ahead, then a turn
// to each side, which shows depth best, and one of the other moves, in any order:
// 18 challenges. intn is the source of chance, 0 ≤ intn(n) < n; nil: one that nobody
// can foretell.
func NewChallenge(intn func(n int) int) []Move {
	if intn == nil {
		intn = unforeseen
	}
	moves := []Move{Left, Right, []Move{Up, Down, Closer}[intn(3)]}
	for i := len(moves) - 1; i > 0; i-- {
		j := intn(i + 1)
		moves[i], moves[j] = moves[j], moves[i]
	}
	return slices.Insert(moves, 0, Center)
}

func unforeseen(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // the system has no randomness: crypto/rand ends the program itself
	}
	return int(i.Int64())
}
