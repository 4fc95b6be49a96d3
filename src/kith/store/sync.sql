-- name: take_turn
-- The seconds to wait for one's turn. $2: the seconds between turns; $3: how many may come at once.
INSERT INTO sync_turns AS t (key, due_at) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (key) DO UPDATE SET
  due_at = greatest(t.due_at, clock_timestamp() - make_interval(secs => $2 * ($3::int - 1)))
    + make_interval(secs => $2)
RETURNING extract(epoch FROM due_at - make_interval(secs => $2) - clock_timestamp())::float8;

-- name: postpone_turns
INSERT INTO sync_turns AS t (key, due_at) VALUES ($1, clock_timestamp() + make_interval(secs => $2))
ON CONFLICT (key) DO UPDATE SET due_at = greatest(t.due_at, clock_timestamp() + make_interval(secs => $2));

-- name: take_place
-- One of $2 places that is free, for $3 seconds at most; none where all are taken.
INSERT INTO sync_places AS p (key, place, taken_until)
SELECT $1, place, clock_timestamp() + make_interval(secs => $3) FROM (
  SELECT place FROM generate_series(1, $2::int) AS place
  WHERE NOT EXISTS (SELECT FROM sync_places o WHERE o.key = $1 AND o.place = place.place AND o.taken_until > clock_timestamp())
  ORDER BY random() LIMIT 1) AS free
ON CONFLICT (key, place) DO UPDATE SET taken_until = excluded.taken_until WHERE p.taken_until <= clock_timestamp()
RETURNING place;

-- name: free_place
UPDATE sync_places SET taken_until = '-infinity' WHERE key = $1 AND place = $2;
