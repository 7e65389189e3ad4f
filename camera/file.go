package camera

import (
	"context"
	"net/url"
)

func openFile(ctx context.Context, u *url.URL) (Source, error) { return nil, badURL(u, "file: not built in", "") }

func openDir(ctx context.Context, u *url.URL) (Source, error) { return nil, badURL(u, "dir: not built in", "") }
