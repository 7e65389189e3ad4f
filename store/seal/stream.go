package seal

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/cypherface/edge/store"
)

// A stream is sealed in pieces of 64 KiB, each AES-256-GCM under a key that only
// this stream has, with its number and whether it is the last as nonce (STREAM of
// Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015): no piece can be changed,
// moved, left out or added, and the end cannot be cut off unnoticed. Only the last
// piece is shorter; it is empty only where all is.
const (
	pieceLen = 64 << 10
	tagLen   = 16
)

// pieces counts the pieces of a stream.
type pieces struct {
	aead cipher.AEAD
	n    uint64
}

func newPieces(k *key) pieces {
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic(err) // only for keys of another length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // only for ciphers of another block size
	}
	return pieces{aead: aead}
}

func (p *pieces) nonce(last bool) []byte {
	nonce := binary.BigEndian.AppendUint64(make([]byte, 3, 12), p.n)
	p.n++
	if last {
		return append(nonce, 1)
	}
	return append(nonce, 0)
}

// streamLen is the length of a sealed stream of n bytes.
func streamLen(n int64) int64 {
	return n + max(1, (n+pieceLen-1)/pieceLen)*tagLen
}

// streamWriter seals what is written to it. Close ends the stream, not w.
type streamWriter struct {
	w io.Writer
	pieces
	held []byte // of the next piece
	err  error
}

func newStreamWriter(w io.Writer, k *key) *streamWriter {
	return &streamWriter{w: w, pieces: newPieces(k), held: make([]byte, 0, pieceLen+tagLen)}
}

// Write seals b.
func (s *streamWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 && s.err == nil {
		if len(s.held) == pieceLen {
			s.flush(false)
			continue
		}
		m := min(len(b), pieceLen-len(s.held))
		s.held, b, n = append(s.held, b[:m]...), b[m:], n+m
	}
	return n, s.err
}

func (s *streamWriter) flush(last bool) {
	sealed := s.aead.Seal(s.held[:0], s.nonce(last), s.held, nil)
	_, s.err = s.w.Write(sealed)
	s.held = s.held[:0]
}

var errEnded = errors.New("the stream has ended")

// Close seals the last piece.
func (s *streamWriter) Close() error {
	if s.err != nil {
		return s.err
	}
	if s.flush(true); s.err == nil {
		s.err = errEnded
		return nil
	}
	return s.err
}

// streamReader opens a stream. It ends with io.EOF only where all of the stream is
// there; what it has given out before is right as far as it goes.
type streamReader struct {
	r *bufio.Reader
	pieces
	piece []byte // room for one
	held  []byte // opened, not read yet
	err   error
}

func newStreamReader(r io.Reader, k *key) *streamReader {
	return &streamReader{r: bufio.NewReaderSize(r, pieceLen+tagLen+1), pieces: newPieces(k), piece: make([]byte, pieceLen+tagLen)}
}

// Read opens the next piece where none is left. The error matches
// store.ErrDamaged where the stream is not as it was written.
func (s *streamReader) Read(b []byte) (int, error) {
	for len(s.held) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.next()
	}
	n := copy(b, s.held)
	s.held = s.held[n:]
	return n, nil
}

func (s *streamReader) next() {
	n, err := io.ReadFull(s.r, s.piece)
	last := false
	switch {
	case err == nil:
		_, err = s.r.Peek(1)
		if last = errors.Is(err, io.EOF); last {
			err = nil
		}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		last, err = true, nil
	}
	if err != nil {
		s.err = err
		return
	}
	number := s.n
	plain, err := s.aead.Open(s.piece[:0], s.nonce(last), s.piece[:n], nil)
	switch {
	case err != nil || len(plain) == 0 && number > 0:
		s.err = fmt.Errorf("%w: piece %d was changed, moved or cut off", store.ErrDamaged, number)
	case last:
		s.held, s.err = plain, io.EOF
	default:
		s.held = plain
	}
}
