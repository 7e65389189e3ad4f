package seal

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cypherface/edge/store"
)

// A Spool is a file that holds what may not lie on the disk in the clear while it
// is worked off: an upload. It is sealed as a stream is, under a key that it alone
// has, and can be read at any place. Whoever destroys the key has destroyed it.
type Spool struct {
	file   *os.File
	stream *streamWriter
	key    key
	size   int64
}

// CreateSpool makes a new file.
func CreateSpool(path string) (*Spool, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	s := &Spool{file: f, key: newKey()}
	s.stream = newStreamWriter(f, &s.key)
	return s, nil
}

// Write appends b.
func (s *Spool) Write(b []byte) (int, error) {
	n, err := s.stream.Write(b)
	s.size += int64(n)
	return n, err
}

// Finish makes what was written durable and closes the file. It returns what
// OpenSpool takes.
func (s *Spool) Finish() (key []byte, size int64, err error) {
	err = s.stream.Close()
	if err == nil {
		err = s.file.Sync()
	}
	return s.key[:], s.size, errors.Join(err, s.file.Close())
}

// Abandon closes the file and removes it.
func (s *Spool) Abandon() {
	s.file.Close()
	os.Remove(s.file.Name())
}

// SpoolReader reads a spool. It is safe for concurrent use.
type SpoolReader struct {
	file *os.File
	key  key
	size int64
}

// OpenSpool opens a spool for reading.
func OpenSpool(path string, secret []byte, size int64) (*SpoolReader, error) {
	r := &SpoolReader{size: size}
	if len(secret) != keyLen || size < 0 {
		return nil, fmt.Errorf("open spool: %w: no key", store.ErrDamaged)
	}
	copy(r.key[:], secret)
	var err error
	if r.file, err = os.Open(path); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if st, err := r.file.Stat(); err != nil || st.Size() != streamLen(size) {
		r.file.Close()
		return nil, fmt.Errorf("open spool: %w: it is not as long as it was", store.ErrDamaged)
	}
	return r, nil
}

// Size is the length of what was written.
func (r *SpoolReader) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt. The error matches store.ErrDamaged where the file
// is not as it was written.
func (r *SpoolReader) ReadAt(b []byte, at int64) (n int, err error) {
	if at < 0 {
		return 0, errors.New("read spool: before its beginning")
	}
	sealed := make([]byte, pieceLen+tagLen)
	for n < len(b) && at < r.size {
		piece := at / pieceLen
		begin := piece * (pieceLen + tagLen)
		length := min(pieceLen, r.size-piece*pieceLen) + tagLen
		if _, err := r.file.ReadAt(sealed[:length], begin); err != nil {
			return n, fmt.Errorf("read spool: %w", err)
		}
		p := newPieces(&r.key)
		p.n = uint64(piece)
		plain, err := p.aead.Open(sealed[:0], p.nonce((piece+1)*pieceLen >= r.size), sealed[:length], nil)
		if err != nil {
			return n, fmt.Errorf("read spool: %w: piece %d was changed", store.ErrDamaged, piece)
		}
		m := copy(b[n:], plain[at-piece*pieceLen:])
		n, at = n+m, at+int64(m)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// Close closes the file.
func (r *SpoolReader) Close() error { return r.file.Close() }

var _ io.ReaderAt = (*SpoolReader)(nil)
