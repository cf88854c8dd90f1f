    // guide: twice
    // end guide
    // guide: twice
    // end guide
    // guide: loop
    for (;;)
        poll();
    // end guide
    // guide: open
