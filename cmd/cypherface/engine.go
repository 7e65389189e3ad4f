package main

import (
	"context"
	"flag"
	"fmt"
	"image"
	"io"
	"os"

	"github.com/cypherface/edge/engine"
	"github.com/cypherface/edge/engine/tflite"
	"github.com/cypherface/edge/internal/picture"
	"github.com/cypherface/edge/models"
)

// packFlags are the flags of every command that runs the networks itself.
type packFlags struct {
	root *string
	name *string
}

func addPackFlags(fs *flag.FlagSet) packFlags {
	return packFlags{
		fs.String("packs", "", "folder of installed packs (default $CYPHERFACE_PACKS, else packs/ beside the program)"),
		fs.String("pack", "", "use this pack (default the one in use)"),
	}
}

// pack opens the pack that the flags mean.
func (p packFlags) pack(t *terminal) (*models.Pack, error) {
	root := models.Root(*p.root, t.getenv)
	if *p.name == "" {
		return models.Default(root)
	}
	packs, err := models.Installed(root)
	for _, pack := range packs {
		if pack.Name == *p.name {
			return pack, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("open pack %s: it is not in %s (cypherface models list shows those that are)", *p.name, root)
}

// open opens the engine of the pack that the flags mean, tried in a process of
// its own if it is unknown.
func (p packFlags) open(ctx context.Context, t *terminal, opt tflite.Options) (*engine.Engine, *models.Pack, io.Closer, error) {
	pack, err := p.pack(t)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := tflite.ProbeOnce(ctx, "", pack); err != nil {
		return nil, nil, nil, err
	}
	e, networks, err := tflite.OpenEngine(pack, opt)
	return e, pack, networks, err
}

// beside opens the pack against presentation attacks that stands beside it, tried in a
// process of its own if it is unknown; nil where there is none.
func (p packFlags) beside(ctx context.Context, t *terminal) (*models.Pack, error) {
	b, err := models.Beside(models.Root(*p.root, t.getenv))
	if b != nil {
		err = tflite.ProbeOnce(ctx, "", b)
	}
	return b, err
}

// readPicture decodes an image file.
func readPicture(path string) (image.Image, error) {
	const limit = 64 << 20
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > limit {
		return nil, fmt.Errorf("read %s: want a regular file of at most %d MiB", path, limit>>20)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := picture.Decode(b, picture.Limits{Bytes: limit, Pixels: 64_000_000})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p.Image, nil
}
