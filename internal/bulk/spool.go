package bulk

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/cypherface/edge/store"
	"github.com/cypherface/edge/store/seal"
)

// spool writes an upload to a sealed file.
func (q *Queue) spool(ctx context.Context, b *store.Bulk, r Request, archive io.Reader) error {
	s, err := seal.CreateSpool(q.path(b.ID))
	if err != nil {
		return err
	}
	w := &bounded{Queue: q, ctx: ctx, to: &roomy{to: s, dir: q.Dir}}
	if r.Import {
		err = q.unseal(ctx, b, r.From, archive, w)
	} else {
		_, err = io.Copy(w, archive)
	}
	if err != nil {
		s.Abandon()
		return err
	}
	b.Key, b.Size, err = s.Finish()
	return err
}

// bounded keeps an upload within its limits.
type bounded struct {
	*Queue
	ctx  context.Context
	to   io.Writer
	size int64
}

func (w *bounded) Write(b []byte) (int, error) {
	w.size += int64(len(b))
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if w.size > w.MaxUpload {
		return 0, fmt.Errorf("%w: at most %d bytes are taken", ErrTooLarge, w.MaxUpload)
	}
	return w.to.Write(b)
}

// room refuses to fill the disk.
func room(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	if st.Bavail*uint64(st.Bsize) < spare {
		return ErrNoRoom
	}
	return nil
}
