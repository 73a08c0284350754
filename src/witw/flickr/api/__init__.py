"""Client of the Flickr API: session, quota, records, licences."""
